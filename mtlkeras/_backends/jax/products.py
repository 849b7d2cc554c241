"""JAX: matrix products and small linear systems in the full precision of float32."""

from __future__ import annotations

from typing import Any

import jax
from jax import numpy as jnp

# What small dense problems are solved in: JAX has no float64 unless a program asks for it as a whole.
SOLVER_DTYPE = "float32"


def matmul(a: Any, b: Any, transpose_b: bool = False) -> Any:
    """Returns the product of matrices of one type, which a GPU would compute with ten bits of float32."""
    return jnp.matmul(a, b.mT if transpose_b else b, precision=jax.lax.Precision.HIGHEST)


def solve_positive(matrix: Any, right: Any) -> Any:
    """Returns the solutions X of A X = B for small positive definite A.

    Gauss and Jordan's elimination, which needs no exchange of rows here. Written out it takes one or two
    kernels a row of A; a general solver sorts rows in a loop and calls libraries several times.

    Args:
        matrix: A, shape `(..., K, K)`.
        right: B, shape `(..., K, N)`.
    """
    least = jnp.finfo(matrix.dtype).eps  # Pivots are above zero but for rounding.
    both = jnp.concatenate([matrix, right], axis=-1)
    for place in range(matrix.shape[-1]):
        row = both[..., place : place + 1, :]
        row = row / jnp.maximum(row[..., :1], least)
        here = (jnp.arange(matrix.shape[-1]) == place)[:, None]
        both = jnp.where(here, row, both - both[..., :1] * row)[..., 1:]
    return both
