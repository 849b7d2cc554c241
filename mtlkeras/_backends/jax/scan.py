"""JAX: a scan over the first axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def scan(step: Callable[[Any, Any], tuple[Any, Any]], init: Any, inputs: Any, reverse: bool = False) -> Any:
    """Runs `carry, output = step(carry, input)` along the first axis of the inputs."""
    return jax.lax.scan(step, init, inputs, reverse=reverse)
