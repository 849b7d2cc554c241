"""Descent to the shortest combination with gradients of two independent halves of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import times
from mtlkeras.balancers._solvers import onto_simplex
from mtlkeras.balancers.base import PairBalancer, Problem, above_zero, at_least_zero, normed_pair
from mtlkeras.specs import spec, tunable


@spec
class MoDo(PairBalancer):
    """Multi-objective descent by double sampling (Chen et al. 2023).

    The weights take one step a batch to those of the shortest combination, w = projection onto
    the simplex of w - gamma (J1 J2' w + rho w), where J1 and J2 are the task gradients of two
    independent halves of the batch, whose product is an unbiased J J' (algorithm 1). The update
    is sum of w_k g_k with the gradients of the whole batch, where the paper takes a third batch.
    J1 J2' is divided by its largest entry, so that gamma has no unit.

    Args:
        gamma: Learning rate of the weights.
        rho: Draws the weights together.

    Reference: Three-way trade-off in multi-objective learning: Optimization, generalization and
    conflict-avoidance, NeurIPS 2023.

    Example:

    ```python
    balancer = mtlkeras.balancers.MoDo(gamma=0.1)
    ```
    """

    gamma: float = tunable(0.1, low=0.001, high=1.0, log=True)
    rho: float = tunable(0.0, 0.0, 0.01, 0.1)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "gamma")
        at_least_zero(self, "rho")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"simplex": np.full(len(heads), 1.0 / len(heads), "float32")}

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        before = problem.memory["simplex"]
        slope = times(normed_pair(problem.gram), before) + self.rho * before
        weights = onto_simplex(before - self.gamma * slope, problem.present)
        return weights, {"simplex": weights}
