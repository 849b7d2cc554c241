"""Closed forms for two tasks: a handful of operations on single numbers, which a compiler fuses to one."""

from __future__ import annotations

import numpy as np
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.balancers._matrices import OPPOSED, RIDGE, SHORT

# Keeps equal gradients from a distance of zero; as much as rounding.
_TINY = float(np.finfo("float32").eps)


def spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Returns eigenvalues in rising order and eigenvectors as columns, by one of Jacobi's rotations."""
    (a, c), (_, b) = (ops.unstack(row, 2) for row in ops.unstack(matrix, 2))
    half, mean = 0.5 * (b - a), 0.5 * (a + b)
    radius = ops.sqrt(half * half + c * c)
    tangent = ops.divide_no_nan(c, ops.absolute(half) + radius)  # Of the smaller angle.
    cosine = 1.0 / ops.sqrt(1.0 + tangent * tangent)
    sine = tangent * cosine
    # The axis with the larger diagonal entry turns into that of the larger eigenvalue.
    low = ops.where(half < 0, ops.stack([-sine, cosine]), ops.stack([cosine, -sine]))
    high = ops.where(half < 0, ops.stack([cosine, sine]), ops.stack([sine, cosine]))
    largest = mean + radius
    least = ops.divide_no_nan(a * b - c * c, largest)  # Their product over one loses less than a difference.
    return ops.stack([least, largest]), ops.stack([low, high], axis=1)


def nonnegative_minimum(matrix: Tensor, linear: Tensor) -> Tensor:
    """Returns x >= 0 that minimises x'Ax / 2 + q'x; as `_newton.nonnegative_minimum`.

    Where an entry of the point at which the slope vanishes is below zero, it is zero, and the other one is
    what it would be alone; of two below zero at most one is above zero alone.
    """
    squares, between = ops.diagonal(matrix) + RIDGE, matrix[0, 1]
    inner = between * ops.flip(linear, -1) - ops.flip(squares, -1) * linear
    middle = ops.sqrt(ops.prod(squares))
    determinant = (middle - between) * (middle + between)
    alone = ops.maximum(-linear, 0.0) / squares
    return ops.where(ops.flip(inner, -1) < 0, alone, ops.maximum(inner, 0.0) / determinant)


def towards(gram: Tensor, linear: Tensor, radius: Tensor, present: Tensor) -> Tensor:
    """Returns w / |g_w| for w >= 0 with sum 1 that minimises q'w + radius |g_w|; as `_newton.towards`.

    On the line through both gradients the length is sqrt(A y^2 + h^2), where y is the way from the point
    nearest to zero, h its length and A the square of the distance of the gradients: the slope vanishes at
    y = -s h / sqrt(A (r^2 A - s^2)) for a linear part that rises by s a unit of the way.
    """
    squares, between = ops.diagonal(gram) + _TINY, gram[0, 1]
    distance = ops.maximum(ops.sum(squares) - 2.0 * between, _TINY)
    nearest = (ops.flip(squares) - between) / distance
    middle = ops.sqrt(ops.prod(squares))
    height = ops.maximum((middle - between) * (middle + between), 0.0) / distance + SHORT * SHORT
    rise = linear - ops.flip(linear)
    room = ops.maximum(radius * radius * distance - rise * rise, 1e-30)
    w = ops.clip(nearest - rise * ops.sqrt(height / (room * distance)), 0.0, 1.0)
    w = ops.where(ops.min(present) > 0, w, present)
    return w / ops.sqrt(distance * (w[0] - nearest[0]) ** 2 + height)


def bargain(cosines: Tensor) -> Tensor:
    """Returns b > 0 with C b = 1 / b: by symmetry both entries are the same."""
    return 1.0 / ops.sqrt(ops.diagonal(cosines) + OPPOSED + cosines[0, 1])
