"""JAX: gradients by what a function is called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp


def input_gradients(function: Callable[[list[Any]], Any], values: list[Any]) -> tuple[Any, list[Any]]:
    """Returns what a function gives for some tensors, and the gradients of its sum; see TensorFlow's."""
    result, pull = jax.vjp(function, [jnp.asarray(value) for value in values])
    return result, pull(jnp.ones_like(result))[0]
