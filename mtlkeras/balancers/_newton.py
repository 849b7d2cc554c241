"""Solvers for any number of tasks: Newton's method, with a fixed number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from mtlkeras._backends import matmul
from mtlkeras._types import Tensor
from mtlkeras.balancers._matrices import LEAST, OPPOSED, RIDGE, SHORT, diagonal, inverse, solve, times


def repeated(better: Callable[[Any], Any], start: Any, rounds: int, in_a_row: int = 4) -> Tensor:
    """Returns what a function makes of a start when it is applied `rounds * in_a_row` times.

    The graph has those in a row written out, in a loop: with all written out it would take as much
    memory as a trunk, and a step of a graph's loop takes the time of several operations.
    """

    def several(_: Any, state: Any) -> Tensor:
        for _ in range(in_a_row):
            state = better(state)
        return state

    return ops.fori_loop(0, rounds, several, start)


def nonnegative_minimum(matrix: Tensor, linear: Tensor) -> Tensor:
    """Returns x >= 0 that minimises x'Ax / 2 + q'x.

    Mehrotra's predictor and corrector (1992) from x = z = 1; the duality gap falls by a factor of
    ten and more a step.

    Args:
        matrix: A, positive semidefinite with entries of order 1, shape `(..., K, K)`.
        linear: q, shape `(..., K)`; the minimum must exist.
    """
    one = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    # Vectors are columns here, which saves operations; they take most of the time.
    matrix, pull = matrix + RIDGE * one, -ops.expand_dims(linear, -1)

    def better(both: Any) -> Tensor:
        x, z = ops.unstack(both, 2)
        ratio = z / x
        downhill = pull - matmul(matrix, x)
        inverted = inverse(matrix + ratio * one)
        gap = ops.mean(x * z, axis=-2, keepdims=True)
        dx = matmul(inverted, downhill)
        dz = -z - ratio * dx
        change = ops.stack([dx, dz])
        # How many times too long the step of either is.
        excess = ops.maximum(-ops.min(change / both, axis=-2, keepdims=True), 1.0)
        ahead = ops.prod(both + change / excess, axis=0)
        share = ops.minimum(ops.mean(ahead, axis=-2, keepdims=True) / gap, 1.0)
        target = (gap * share**3 - dx * dz) / x
        dx = matmul(inverted, target + downhill)
        return _moved(both, ops.stack([dx, target - z - ratio * dx]))

    x = _landed(repeated(better, ops.ones((2, *pull.shape), pull.dtype), rounds=3))
    return ops.squeeze(x, -1)


def towards(gram: Tensor, linear: Tensor, radius: Tensor, present: Tensor) -> Tensor:
    """Returns w / |g_w| for w >= 0 with sum 1 that minimises q'w + radius |g_w|, where |g_w|^2 = w'Gw.

    Newton steps along the central path from the middle of the simplex. The square root has a kink
    where w'Gw = 0, as between opposed gradients: within `SHORT` it is rounded off, the more the
    farther the path is from its end, and no step changes the length by more than nine tenths of it.

    Args:
        gram: G, the largest entry of its diagonal 1, shape `(K, K)`; zero for absent tasks.
        linear: q, shape `(K,)`; zero for absent tasks.
        radius: A scalar.
        present: 1 for entries of w that may differ from zero, else 0.
    """
    # Vectors are columns here, which saves operations; they take most of the time. The entries of
    # absent tasks cost 1 and count for nothing else, so that they go to zero by themselves.
    one, free = ops.eye(present.shape[0], dtype=present.dtype), ops.expand_dims(present, -1)
    cost = ops.expand_dims(linear, -1) + 1.0 - free
    row, ridge = ops.expand_dims(present, 0), RIDGE * one
    # What is taken off below rounds: by this the rest stays positive definite.
    firm = gram + LEAST * one

    def better(both: Any) -> Tensor:
        x, z = ops.unstack(both, 2)
        ratio, gap = z / x, ops.mean(x * z)
        along = matmul(gram, x)
        # Squares of lengths can be below zero by rounding.
        square = ops.maximum(ops.sum(x * along), 0.0)
        length = ops.sqrt(square + ops.maximum(0.1 * gap, SHORT * SHORT))
        unit = along / length
        curvature = radius / length * (firm - matmul(unit, unit, transpose_b=True))
        inverted = inverse(curvature + ratio * one + ridge)
        barrier = 0.1 * gap / x
        both_ways = matmul(inverted, ops.concatenate([barrier - cost - radius * unit, free], axis=1))
        to_centre, to_sum = ops.split(both_ways, 2, axis=1)
        excess, sums = ops.split(matmul(row, both_ways), 2, axis=1)
        dx = to_centre - to_sum * (excess / sums)
        longer = ops.sqrt(ops.maximum(ops.sum(dx * matmul(gram, dx)), 0.0)) / length
        return _moved(both, ops.stack([dx, barrier - z - ratio * dx]), longer / 0.9)

    start = ops.stack([free / ops.maximum(ops.sum(present), 1.0) + 1.0 - free, ops.ones_like(free)])
    x = _landed(repeated(better, start, rounds=5, in_a_row=3)) * free
    w = x / ops.maximum(ops.sum(x), 1e-30)
    square = ops.maximum(ops.sum(w * matmul(gram, w)), 0.0)
    return ops.squeeze(w, -1) / ops.sqrt(square + SHORT * SHORT)


def _moved(both: Any, change: Any, too_long: Any = 1.0) -> Tensor:
    """Returns both after the longest common step that keeps them above zero.

    Args:
        both: Two stacks of columns, shape `(2, ..., K, 1)`.
        change: A full step.
        too_long: How many times too long the full step is in any case.
    """
    least = ops.min(change / both, axis=(0, -2), keepdims=True)
    return ops.maximum(both + change / ops.maximum(ops.maximum(least / -0.99, too_long), 1.0), LEAST)


def _landed(both: Any) -> Tensor:
    """Returns the first of both, zero where it is as near to zero as steps may come."""
    return both[0] * ops.cast(both[0] > LEAST, both[0].dtype)


def fair_point(cosines: Tensor, pull: Tensor, power: float) -> Tensor:
    """Returns b > 0 with C b = pull * b^-power, by Newton's method within the positive numbers.

    It is the minimum of b'Cb / 2 - sum of pull * phi(b), where phi' = b^-power.

    Args:
        cosines: C, positive semidefinite with ones on the diagonal, shape `(K, K)`.
        pull: Shape `(K,)`, above zero.
        power: Above zero.
    """
    matrix = cosines + OPPOSED * ops.eye(cosines.shape[-1], dtype=cosines.dtype)

    def better(b: Any) -> Tensor:
        force = pull * b ** (-power)
        slope = times(matrix, b) - force
        db = -solve(matrix + diagonal(power * force / b), slope)
        # In units of b: a long step is cut so that it changes no entry by more than its size.
        longest = ops.max(ops.absolute(db) / b)
        return ops.maximum(b + db / ops.maximum(1.0, longest / 0.9), 1e-12)

    return repeated(better, pull ** (1.0 / (1.0 + power)), rounds=3, in_a_row=6)
