"""Small dense problems, solved inside the graph in a fixed number of iterations.

All work on K x K tensors in `SOLVER_DTYPE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from mtlkeras._backends import SOLVER_DTYPE, matmul

# Below this share of the largest eigenvalue a direction is rounding: inner products come in float32.
ROUNDING = 1e-6
# What the solvers keep away from zero, so that ratios and inverses stay within their precision.
_LEAST = 100.0 * float(np.finfo(SOLVER_DTYPE).eps)
_RIDGE = 1e-9 if SOLVER_DTYPE == "float64" else 3e-6
# A combination shorter than this share of the longest gradient counts as zero.
SHORT = 1e-4 if SOLVER_DTYPE == "float64" else 1e-3


class Scaled(NamedTuple):
    """A Gram matrix taken apart into lengths and cosines, so that no scale of a loss matters.

    Args:
        lengths: Of the gradients, 1 where there is none, shape `(K,)`.
        cosines: Between the gradients, shape `(K, K)`; rows and columns of those without are zero.
        there: 1 for gradients that are there and not zero, shape `(K,)`.
    """

    lengths: Any
    cosines: Any
    there: Any

    @property
    def filled(self) -> Any:
        """The cosines, with 1 on the diagonal of gradients that are not there."""
        return self.cosines + diagonal(1.0 - self.there)

    @property
    def count(self) -> Any:
        """Number of gradients that are there, at least 1."""
        return ops.maximum(ops.sum(self.there), 1.0)


def precise(tensor: Any) -> Any:
    """Returns a tensor in the precision of the solvers."""
    return ops.cast(tensor, SOLVER_DTYPE)


def answer(weights: Any) -> Any:
    """Returns weights as float32, what exceeds its range cut off."""
    return ops.cast(ops.clip(weights, -1e30, 1e30), "float32")


def diagonal(values: Any) -> Any:
    """Returns matrices with these diagonals; `ops.diag` for any leading shape."""
    return ops.expand_dims(values, -1) * ops.eye(values.shape[-1], dtype=values.dtype)


def times(matrix: Any, vector: Any) -> Any:
    """Returns matrix-vector products for any leading shape."""
    return ops.sum(matrix * ops.expand_dims(vector, -2), axis=-1)


def solve(matrix: Any, right: Any) -> Any:
    """Returns the solutions of linear systems with one right side each."""
    return ops.squeeze(ops.linalg.solve(matrix, ops.expand_dims(right, -1)), -1)


def scaled(gram: Any, present: Any) -> Scaled:
    """Takes a Gram matrix apart."""
    gram, present = precise(gram), precise(present)
    squares = ops.diagonal(gram)
    there = present * ops.cast(squares > 0, gram.dtype)
    lengths = ops.where(there > 0, ops.sqrt(ops.where(there > 0, squares, 1.0)), 1.0)
    return Scaled(lengths, cosines_of(gram, lengths) * there * ops.expand_dims(there, -1), there)


def cosines_of(gram: Any, lengths: Any) -> Any:
    """Returns a Gram matrix over the lengths; by rounding it could be beyond 1, and indefinite."""
    return ops.clip(gram / lengths / ops.expand_dims(lengths, -1), -1.0, 1.0)


def normed(gram: Any, present: Any) -> tuple[Any, Any]:
    """Returns a Gram matrix whose largest entry is 1, absent tasks zero, and what it was divided by."""
    gram, present = precise(gram), precise(present)
    squares = ops.diagonal(gram)
    there = present * ops.cast(squares > 0, gram.dtype)  # Squares can be below zero by rounding.
    gram = gram * there * ops.expand_dims(there, -1)
    largest = ops.max(squares * there)
    largest = ops.where(largest > 0, largest, 1.0)
    return gram / largest, largest


def spectrum(matrix: Any) -> tuple[Any, Any, Any]:
    """Returns eigenvalues, eigenvectors and which eigenvalues are more than rounding."""
    values, vectors = ops.linalg.eigh(matrix)
    return values, vectors, values > ROUNDING * ops.max(values) * matrix.shape[-1]


def onto_simplex(point: Any, present: Any) -> Any:
    """Returns the nearest point with entries >= 0 and sum 1; zero for absent entries."""
    shown = ops.where(present > 0, point, -1e30)
    falling = ops.flip(ops.sort(shown))
    counts = ops.arange(1, point.shape[0] + 1, dtype=point.dtype)
    excess = (ops.cumsum(ops.where(falling > -1e29, falling, 0.0)) - 1.0) / counts
    inside = ops.logical_and(falling > excess, falling > -1e29)
    # Of those inside the last one's excess is what all lose.
    place = ops.maximum(ops.sum(ops.cast(inside, "int32")) - 1, 0)
    return ops.maximum(shown - ops.take(excess, place), 0.0) * present


def repeated(better: Callable[[Any], Any], start: Any, rounds: int, in_a_row: int = 4) -> Any:
    """Returns what a function makes of a start when it is applied `rounds * in_a_row` times.

    The graph has those in a row written out, in a loop: with all written out it would take as much
    memory as a trunk, and a step of a graph's loop takes the time of several operations.
    """

    def several(_: Any, state: Any) -> Any:
        for _ in range(in_a_row):
            state = better(state)
        return state

    return ops.fori_loop(0, rounds, several, start)


def nonnegative_minimum(matrix: Any, linear: Any) -> Any:
    """Returns x >= 0 that minimises x'Ax / 2 + q'x.

    Mehrotra's predictor and corrector (1992) from x = z = 1; the duality gap falls by a factor of
    ten and more a step.

    Args:
        matrix: A, positive semidefinite with entries of order 1, shape `(..., K, K)`.
        linear: q, shape `(..., K)`; the minimum must exist.
    """
    one = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    # Vectors are columns here, which saves operations; they take most of the time.
    matrix, pull = matrix + _RIDGE * one, -ops.expand_dims(linear, -1)

    def better(both: Any) -> Any:
        x, z = ops.unstack(both, 2)
        ratio = z / x
        downhill = pull - matmul(matrix, x)
        inverse = ops.linalg.inv(matrix + ratio * one)
        gap = ops.mean(x * z, axis=-2, keepdims=True)
        dx = matmul(inverse, downhill)
        dz = -z - ratio * dx
        change = ops.stack([dx, dz])
        # How many times too long the step of either is.
        excess = ops.maximum(-ops.min(change / both, axis=-2, keepdims=True), 1.0)
        ahead = ops.prod(both + change / excess, axis=0)
        share = ops.minimum(ops.mean(ahead, axis=-2, keepdims=True) / gap, 1.0)
        target = (gap * share**3 - dx * dz) / x
        dx = matmul(inverse, target + downhill)
        return _moved(both, ops.stack([dx, target - z - ratio * dx]))

    x = repeated(better, ops.ones((2, *pull.shape), pull.dtype), rounds=3)[0]
    return ops.squeeze(x, -1)


def shortest_towards(gram: Any, linear: Any, radius: Any, there: Any) -> Any:
    """Returns w >= 0 with sum 1 that minimises q'w + radius sqrt(w'Gw).

    Newton steps along the central path from the middle of the simplex. The square root has a kink
    where w'Gw = 0, as between opposed gradients: within `SHORT` it is rounded off, the more the
    farther the path is from its end, and no step changes the length by more than nine tenths of it.

    Args:
        gram: G, the largest entry of its diagonal 1, shape `(K, K)`; zero for absent tasks.
        linear: q, shape `(K,)`; zero for absent tasks.
        radius: A scalar.
        there: 1 for entries of w that may differ from zero, else 0.
    """
    # Vectors are columns here, which saves operations; they take most of the time. The entries of
    # absent tasks cost 1 and count for nothing else, so that they go to zero by themselves.
    one, free = ops.eye(there.shape[0], dtype=there.dtype), ops.expand_dims(there, -1)
    cost = ops.expand_dims(linear, -1) + 1.0 - free
    row, ridge = ops.expand_dims(there, 0), _RIDGE * one
    # What is taken off below rounds: by this the rest stays positive definite.
    firm = gram + _LEAST * one

    def better(both: Any) -> Any:
        x, z = ops.unstack(both, 2)
        ratio, gap = z / x, ops.mean(x * z)
        along = matmul(gram, x)
        # Squares of lengths can be below zero by rounding.
        square = ops.maximum(ops.sum(x * along), 0.0)
        length = ops.sqrt(square + ops.maximum(0.1 * gap, SHORT * SHORT))
        unit = along / length
        curvature = radius / length * (firm - matmul(unit, unit, transpose_b=True))
        inverse = ops.linalg.inv(curvature + ratio * one + ridge)
        barrier = 0.1 * gap / x
        both_ways = matmul(inverse, ops.concatenate([barrier - cost - radius * unit, free], axis=1))
        to_centre, to_sum = ops.split(both_ways, 2, axis=1)
        excess, sums = ops.split(matmul(row, both_ways), 2, axis=1)
        dx = to_centre - to_sum * (excess / sums)
        longer = ops.sqrt(ops.maximum(ops.sum(dx * matmul(gram, dx)), 0.0)) / length
        return _moved(both, ops.stack([dx, barrier - z - ratio * dx]), longer / 0.9)

    start = ops.stack([free / ops.maximum(ops.sum(there), 1.0) + 1.0 - free, ops.ones_like(free)])
    x = repeated(better, start, rounds=5, in_a_row=3)[0] * free
    return ops.squeeze(x / ops.maximum(ops.sum(x), 1e-30), -1)


def _moved(both: Any, change: Any, too_long: Any = 1.0) -> Any:
    """Returns both after the longest common step that keeps them above zero.

    Args:
        both: Two stacks of columns, shape `(2, ..., K, 1)`.
        change: A full step.
        too_long: How many times too long the full step is in any case.
    """
    least = ops.min(change / both, axis=(0, -2), keepdims=True)
    return ops.maximum(both + change / ops.maximum(ops.maximum(least / -0.99, too_long), 1.0), _LEAST)


def fair_point(cosines: Any, pull: Any, power: float) -> Any:
    """Returns b > 0 with C b = pull * b^-power, by Newton's method within the positive numbers.

    It is the minimum of b'Cb / 2 - sum of pull * phi(b), where phi' = b^-power.

    Args:
        cosines: C, positive semidefinite with ones on the diagonal, shape `(K, K)`.
        pull: Shape `(K,)`, above zero.
        power: Above zero.
    """
    # Without this a matrix of opposed gradients has no solution; it bounds b.
    matrix = cosines + 1e-5 * ops.eye(cosines.shape[-1], dtype=cosines.dtype)

    def better(b: Any) -> Any:
        force = pull * b ** (-power)
        slope = times(matrix, b) - force
        db = -solve(matrix + diagonal(power * force / b), slope)
        # In units of b: a long step is cut so that it changes no entry by more than its size.
        longest = ops.max(ops.absolute(db) / b)
        return ops.maximum(b + db / ops.maximum(1.0, longest / 0.9), 1e-12)

    return repeated(better, pull ** (1.0 / (1.0 + power)), rounds=3, in_a_row=6)
