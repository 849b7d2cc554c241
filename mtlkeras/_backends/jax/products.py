"""JAX: matrix products in the full precision of float32."""

from __future__ import annotations

from typing import Any

import jax
from jax import numpy as jnp

# What small dense problems are solved in: JAX has no float64 unless a program asks for it as a whole.
SOLVER_DTYPE = "float32"


def matmul(a: Any, b: Any, transpose_b: bool = False) -> Any:
    """Returns the product of matrices of one type, which a GPU would compute with ten bits of float32."""
    return jnp.matmul(a, b.mT if transpose_b else b, precision=jax.lax.Precision.HIGHEST)
