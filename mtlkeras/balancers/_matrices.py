"""What the solvers of small dense problems share: Gram matrices in a precise form, products, inverses.

All work on K x K tensors in `SOLVER_DTYPE`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from mtlkeras._backends import SOLVER_DTYPE, solve_positive
from mtlkeras._types import Tensor

# Below this share of the largest eigenvalue a direction is rounding: inner products come in float32.
ROUNDING = 1e-6
# What the solvers keep away from zero, so that ratios and inverses stay within their precision.
LEAST = 100.0 * float(np.finfo(SOLVER_DTYPE).eps)
# What is added to the diagonal of a matrix that may be singular.
RIDGE = 1e-9 if SOLVER_DTYPE == "float64" else 3e-6
# What bounds the fair point of opposed gradients, which have none.
OPPOSED = 1e-5
# A combination shorter than this share of the longest gradient counts as zero.
SHORT = 1e-4 if SOLVER_DTYPE == "float64" else 1e-3


class Scaled(NamedTuple):
    """A Gram matrix taken apart into lengths and cosines, so that no scale of a loss matters.

    Args:
        lengths: Of the gradients, 1 where there is none, shape `(K,)`.
        cosines: Between the gradients, shape `(K, K)`; rows and columns of those without are zero.
        active: 1 for gradients of present tasks that are not zero, shape `(K,)`.
    """

    lengths: Any
    cosines: Any
    active: Any

    @property
    def filled(self) -> Tensor:
        """The cosines, with 1 on the diagonal of the others."""
        return self.cosines + diagonal(1.0 - self.active)

    @property
    def count(self) -> Any:
        """Number of active gradients, at least 1."""
        return ops.maximum(ops.sum(self.active), 1.0)


def precise(tensor: Any) -> Tensor:
    """Returns a tensor in the precision of the solvers."""
    return ops.cast(tensor, SOLVER_DTYPE)


def answer(weights: Tensor) -> Tensor:
    """Returns weights as float32, what exceeds its range cut off."""
    return ops.cast(ops.clip(weights, -1e30, 1e30), "float32")


def diagonal(values: Tensor) -> Tensor:
    """Returns matrices with these diagonals; `ops.diag` for any leading shape."""
    return ops.expand_dims(values, -1) * ops.eye(values.shape[-1], dtype=values.dtype)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Returns matrix-vector products for any leading shape."""
    return ops.sum(matrix * ops.expand_dims(vector, -2), axis=-1)


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Returns the solution of one positive definite linear system with one right side."""
    return ops.squeeze(solve_positive(matrix, ops.expand_dims(right, -1)), -1)


def inverse(matrix: Tensor) -> Tensor:
    """Returns the inverses of positive definite matrices."""
    one = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    return solve_positive(matrix, ops.broadcast_to(one, matrix.shape))


def scaled(gram: Tensor, present: Tensor) -> Scaled:
    """Takes a Gram matrix apart."""
    gram, present = precise(gram), precise(present)
    squares = ops.diagonal(gram)
    active = present * ops.cast(squares > 0, gram.dtype)
    lengths = ops.where(active > 0, ops.sqrt(ops.where(active > 0, squares, 1.0)), 1.0)
    return Scaled(lengths, cosines_of(gram, lengths) * active * ops.expand_dims(active, -1), active)


def cosines_of(gram: Tensor, lengths: Tensor) -> Tensor:
    """Returns a Gram matrix over the lengths; by rounding it could be beyond 1, and indefinite."""
    return ops.clip(gram / lengths / ops.expand_dims(lengths, -1), -1.0, 1.0)


def normed(gram: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a Gram matrix whose largest entry is 1, absent tasks zero, and what it was divided by."""
    gram, present = precise(gram), precise(present)
    squares = ops.diagonal(gram)
    active = present * ops.cast(squares > 0, gram.dtype)  # Squares can be below zero by rounding.
    gram = gram * active * ops.expand_dims(active, -1)
    largest = ops.max(squares * active)
    largest = ops.where(largest > 0, largest, 1.0)
    return gram / largest, largest
