"""Solvers for a few tasks: all sets of entries that may be above zero, in one go.

On each the minimum is that of a linear system. Among the candidates that of the least error is the answer:
the minimum is one of them, so that there is nothing to iterate.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.balancers._matrices import RIDGE, inverse, times

# The number of tasks up to which there are few enough.
MOST = 5


def nonnegative_minimum(matrix: Tensor, linear: Tensor) -> Tensor:
    """Returns x >= 0 that minimises x'Ax / 2 + q'x; as `_newton.nonnegative_minimum`."""
    matrix = matrix + RIDGE * ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    inverses, linear = _inverses(matrix, _subsets(matrix.shape[-1])), ops.expand_dims(linear, -2)
    x = -times(inverses, linear)
    for _ in range(2):  # What an inverse loses in matrices that are next to singular.
        x = x - times(inverses, times(matrix, x) + linear)
    x = ops.maximum(x, 0.0)
    # At the minimum either x or the slope is zero, and the other one not below.
    error = ops.max(ops.absolute(ops.minimum(x, times(matrix, x) + linear)), axis=-1)
    return _best(x, error)


def _subsets(count: int) -> np.ndarray:
    """Returns all subsets as rows of zeros and ones."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def _inverses(matrix: Tensor, subsets: np.ndarray) -> Tensor:
    """Returns the inverses of the parts of a matrix on some subsets, zero elsewhere."""
    both = ops.convert_to_tensor(subsets[:, :, None] * subsets[:, None, :], matrix.dtype)
    rest = ops.convert_to_tensor((1.0 - subsets)[:, :, None] * np.eye(subsets.shape[1]), matrix.dtype)
    return inverse(matrix * both + rest) * both


def _best(points: Any, errors: Any) -> Tensor:
    """Returns of some points, shape `(..., N, K)`, those of the least errors, shape `(..., N)`."""
    chosen = ops.one_hot(ops.argmin(errors, axis=-1), errors.shape[-1], dtype=points.dtype)
    return ops.sum(points * ops.expand_dims(chosen, -1), axis=-2)
