"""Directions near a preferred one, with gradients of two independent halves of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import times
from mtlkeras.balancers._solvers import onto_simplex
from mtlkeras.balancers.base import PairBalancer, Problem, above_zero, at_least_zero, normed_pair
from mtlkeras.specs import spec, tunable


@spec
class SDMGrad(PairBalancer):
    """Stochastic direction-oriented multi-objective gradient descent (Xiao et al. 2023).

    w minimises |sum of w_k g_k + lambda g_0|^2 / 2 over the simplex (equation 6), where g_0 is
    the preferred combination of the gradients, by `steps` projected steps w - gamma J1 (J2' w +
    lambda g_0) with the gradients J1 and J2 of two independent halves of the batch (algorithm 1,
    where each step has batches of its own), from the weights of the batch before. The update is
    the combination with the weights (w + lambda p) / (1 + lambda), p the preference. J1 J2' is
    divided by its largest entry, so that gamma has no unit.

    Args:
        strength: lambda: 0 seeks the shortest combination; large values stay at the preferred
            one.
        gamma: Learning rate of the weights.
        steps: Steps of the weights in each training step.
        preference: Shares of the tasks in the preferred combination, by task or in their order;
            equal by default.

    Reference: Direction-oriented multi-objective learning: Simple and provable stochastic
    algorithms, NeurIPS 2023.

    Example:

    ```python
    balancer = mtlkeras.balancers.SDMGrad(strength=0.3)
    ```
    """

    strength: float = tunable(0.3, low=0.01, high=10.0, log=True)
    gamma: float = tunable(0.3, low=0.01, high=1.0, log=True)
    steps: int = 10
    preference: Any = None

    def validate(self) -> None:
        super().validate()
        above_zero(self, "gamma")
        at_least_zero(self, "strength")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"SDMGrad: steps must be a whole number above zero; received {self.steps!r}.")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"simplex": np.full(len(heads), 1.0 / len(heads), "float32")}

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        gram, weights = normed_pair(problem.gram), problem.memory["simplex"]
        shares = problem.preference * problem.present
        shares = ops.divide_no_nan(shares, ops.sum(shares))
        for _ in range(self.steps):
            slope = times(gram, weights + self.strength * shares)
            weights = onto_simplex(weights - self.gamma * slope, problem.present)
        return (weights + self.strength * shares) / (1.0 + self.strength), {"simplex": weights}
