"""Compiled functions and a scan over the first axis, on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of arrays, and of lists of them, compiled."""
    return jax.jit(function)


def scan(step: Callable[[Any, Any], tuple[Any, Any]], init: Any, inputs: Any, reverse: bool = False) -> Any:
    """Runs `carry, output = step(carry, input)` along the first axis of the inputs."""
    return jax.lax.scan(step, init, inputs, reverse=reverse)
