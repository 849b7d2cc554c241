"""JAX: functions compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of arrays, and of lists of them, compiled."""
    return jax.jit(function)


def traced_once(function: Callable, signature: Any) -> Callable:
    """Returns the function, which an export compiles once by itself."""
    return function
