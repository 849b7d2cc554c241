"""Tracked gradients for a descent without the bias of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from mtlkeras._backends import matmul
from mtlkeras.balancers._matrices import times
from mtlkeras.balancers._solvers import onto_simplex
from mtlkeras.balancers.base import Combined, ElementBalancer, Problem, above_zero, at_least_zero
from mtlkeras.specs import spec, tunable


@spec
class MoCo(ElementBalancer):
    """Stochastic multi-objective descent with gradient correction (Fernando et al. 2023).

    Each task's gradient is tracked, y_k = y_k - beta_t (y_k - g_k), and the weights descend to
    the shortest combination: w = projection onto the simplex of w - gamma (Y Y' + rho I) w; the
    update is sum of w_k y_k (algorithm 1). beta_t is beta / sqrt(t). Y Y' is divided by its
    largest diagonal entry, so that gamma has no unit. A value is kept for each task and shared
    parameter.

    Args:
        beta: Share of the newest gradient at the first step, in (0, 1].
        gamma: Learning rate of the weights.
        rho: Draws the weights together.

    Reference: Mitigating gradient bias in multi-objective learning: A provably convergent
    approach, ICLR 2023.

    Example:

    ```python
    balancer = mtlkeras.balancers.MoCo(gamma=0.1)
    ```
    """

    buffered: ClassVar = True

    beta: float = tunable(0.5, low=0.05, high=1.0)
    gamma: float = tunable(0.1, low=0.001, high=1.0, log=True)
    rho: float = tunable(0.0, 0.0, 0.01, 0.1)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "beta", "gamma")
        at_least_zero(self, "rho")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        count = len(heads)
        return {"simplex": np.full(count, 1.0 / count, "float32"), "steps": np.zeros((), "float32")}

    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        present = ops.expand_dims(problem.present, -1)
        steps = problem.memory["steps"] + 1.0
        share = ops.minimum(self.beta / ops.sqrt(steps), 1.0)
        kept = [
            ops.where(present > 0, old + share * (new - old), old)
            for new, old in zip(rows, buffers, strict=True)
        ]
        shown = [part * present for part in kept]
        gram = sum(matmul(part, part, transpose_b=True) for part in shown)
        gram = ops.divide_no_nan(gram, ops.max(ops.diagonal(gram)))
        before = problem.memory["simplex"]
        slope = times(gram, before) + self.rho * before
        weights = onto_simplex(before - self.gamma * slope, problem.present)
        updates = [ops.sum(ops.expand_dims(weights, -1) * part, axis=0) for part in shown]
        return Combined(weights, updates, {"simplex": weights, "steps": steps}, kept)
