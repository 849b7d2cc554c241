"""Small dense problems, solved inside the graph: by closed forms, or in a fixed number of steps.

A step of training waits for them, and on a GPU each operation that the compiler cannot fuse takes as long
as a small layer. For two tasks there are closed forms, for a few all cases at once.
"""

from __future__ import annotations

from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.balancers import _faces, _newton, _two_tasks
from mtlkeras.balancers._matrices import ROUNDING


def spectrum(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns eigenvalues, eigenvectors and which eigenvalues are more than rounding."""
    two = matrix.shape[-1] == 2
    values, vectors = _two_tasks.spectrum(matrix) if two else ops.linalg.eigh(matrix)
    return values, vectors, values > ROUNDING * ops.max(values) * matrix.shape[-1]


def onto_simplex(point: Tensor, present: Tensor) -> Tensor:
    """Returns the nearest point with entries >= 0 and sum 1; zero for absent entries."""
    # All lose the same. Were those that stay above zero the entries from a given one upwards, it would be
    # what these have beyond 1, shared among them; of all such numbers it is the largest.
    upwards = ops.cast(ops.expand_dims(point, -2) >= ops.expand_dims(point, -1), point.dtype) * present
    excess = (ops.sum(upwards * point, axis=-1) - 1.0) / ops.maximum(ops.sum(upwards, axis=-1), 1.0)
    loss = ops.max(ops.where(present > 0, excess, -1e30))
    return ops.maximum(point - loss, 0.0) * present


def nonnegative_minimum(matrix: Tensor, linear: Tensor) -> Tensor:
    """Returns x >= 0 that minimises x'Ax / 2 + q'x.

    Args:
        matrix: A, positive semidefinite with entries of order 1, shape `(K, K)`.
        linear: q, shape `(..., K)`; the minimum must exist.
    """
    count = matrix.shape[-1]
    if count == 2:
        return _two_tasks.nonnegative_minimum(matrix, linear)
    return (_faces if count <= _faces.MOST else _newton).nonnegative_minimum(matrix, linear)


def shortest(cosines: Tensor, ratios: Tensor) -> Tensor:
    """Returns weights of the shortest convex combination of gradients, but for a factor.

    Args:
        cosines: C, shape `(K, K)`.
        ratios: r, the length of the shortest over each gradient's, zero for absent ones. The weights are in
            units of the gradients' lengths: those of the gradients are r times them.
    """
    if cosines.shape[-1] == 2:
        # A multiple of the answer below, without what is added there.
        return _two_tasks.nonnegative_minimum(cosines, -ratios)
    # The minimum over all y >= 0 with (r'y - 1)^2 added is a multiple of that with r'y = 1.
    return nonnegative_minimum(cosines + ratios * ops.expand_dims(ratios, -1), -ratios)


def towards(gram: Tensor, linear: Tensor, radius: Tensor, present: Tensor) -> Tensor:
    """Returns w / |g_w| for w >= 0 with sum 1 that minimises q'w + radius |g_w|, where |g_w|^2 = w'Gw.

    A length below `SHORT` is rounded up to it.

    Args:
        gram: G, the largest entry of its diagonal 1, shape `(K, K)`; zero for absent tasks.
        linear: q, shape `(K,)`; zero for absent tasks.
        radius: A scalar.
        present: 1 for entries of w that may differ from zero, else 0.
    """
    two = gram.shape[-1] == 2
    return (_two_tasks if two else _newton).towards(gram, linear, radius, present)


def fair_point(cosines: Tensor, pull: Tensor, power: float) -> Tensor:
    """Returns b > 0 with C b = pull * b^-power.

    Args:
        cosines: C, positive semidefinite with ones on the diagonal, shape `(K, K)`.
        pull: Shape `(K,)`, above zero; ones where `power` is 1.
        power: Above zero.
    """
    if cosines.shape[-1] == 2 and power == 1.0:
        return _two_tasks.bargain(cosines)
    return _newton.fair_point(cosines, pull, power)
