"""Gradients projected to where no task loses."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, cosines_of, diagonal, normed, precise, times
from mtlkeras.balancers._solvers import nonnegative_minimum
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec


@spec
class UPGrad(GramBalancer):
    """Unconflicting projection of gradients (Quinton and Rey 2024).

    Each gradient is projected onto the dual cone, the directions d with g_k . d >= 0 for every
    task; the update is the mean of the projections. The projection of sum of u_k g_k has the
    weights v that minimise v' G v over v >= u (proposition 1).

    Args:
        preference: Preferences by task, or in the order of the tasks; `None` for equal ones.

    Reference: Jacobian descent for multi-objective optimization, 2024.

    Example:

    ```python
    weights = mtlkeras.balancers.UPGrad().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    preference: Any = None

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        return answer(ops.sum(projected(problem, diagonal(shares(problem))), axis=0)), {}


def shares(problem: Problem) -> Tensor:
    """Returns the preferences among the tasks that are present."""
    share = precise(problem.preference * problem.present)
    return share / ops.maximum(ops.sum(share), 1e-30)


def projected(problem: Problem, weights: Tensor) -> Tensor:
    """Returns the weights of combinations of gradients after projection onto the dual cone.

    Args:
        problem: The step's problem.
        weights: Weights of the combinations, shape `(..., K)`.
    """
    gram, _ = normed(problem.gram, problem.present)
    # In units of each gradient's length, since a gradient far shorter than the others counts too.
    squares = ops.diagonal(gram)
    lengths = ops.sqrt(ops.where(squares > 0, squares, 1.0))
    cosines = cosines_of(gram, lengths)
    inner = weights * lengths
    size = ops.maximum(ops.max(ops.absolute(inner), axis=-1, keepdims=True), 1e-30)
    inner = inner / size
    more = nonnegative_minimum(cosines + diagonal(ops.cast(squares <= 0, gram.dtype)), times(cosines, inner))
    return (inner + more * ops.cast(squares > 0, gram.dtype)) * size / lengths
