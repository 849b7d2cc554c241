"""Weights learned so that gradients have lengths that suit the tasks' progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, precise, scaled
from mtlkeras.balancers.base import GramBalancer, Problem, above_zero
from mtlkeras.specs import spec, tunable


@spec
class GradNorm(GramBalancer):
    """Gradient normalisation (Chen et al. 2018): tasks that lag get longer gradients.

    The weights w descend along sum of |w_k |g_k| - m r_k^alpha|, where m is the mean of
    w_k |g_k|, taken as a constant, and r_k the loss relative to its first value, divided by the
    mean of these ratios (equations 1 and 2); then they are divided so that they sum to K. The
    descent is on lengths divided by m, so that the learning rate has no unit. A step uses the
    weights from before it.

    Args:
        alpha: How strongly lagging tasks are favoured.
        learning_rate: Of the weights.

    Reference: GradNorm: Gradient normalization for adaptive loss balancing in deep multitask
    networks, ICML 2018.

    Example:

    ```python
    balancer = mtlkeras.balancers.GradNorm(alpha=1.5)
    ```
    """

    alpha: float = tunable(1.5, low=0.1, high=3.0)
    learning_rate: float = tunable(0.025, low=0.001, high=0.1, log=True)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "learning_rate")
        if not self.alpha >= 0:
            raise ValueError(f"GradNorm: alpha must not be negative; received {self.alpha}.")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        # The first loss of a task is zero until it is known.
        return {"task_weights": np.ones(len(heads), "float32"), "first": np.zeros(len(heads), "float32")}

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, _, active = scaled(problem.gram, problem.present)
        weights, losses = precise(problem.memory["task_weights"]), precise(problem.losses)
        first = precise(problem.memory["first"])
        first = ops.where(ops.logical_and(first <= 0, active > 0), losses, first)
        count = ops.maximum(ops.sum(active), 1.0)
        ratio = ops.divide_no_nan(losses, first) * active
        rate = ops.divide_no_nan(ratio, ops.sum(ratio) / count)
        mean = ops.sum(weights * lengths * active) / count
        relative = ops.divide_no_nan(lengths, mean)
        error = weights * relative - ops.maximum(rate, 1e-30) ** self.alpha
        moved = weights - self.learning_rate * ops.sign(error) * relative * active
        moved = ops.maximum(moved, 1e-3)
        moved = moved * moved.shape[0] / ops.sum(moved)
        changes = {"task_weights": ops.cast(moved, "float32"), "first": ops.cast(first, "float32")}
        return answer(weights * precise(problem.present)), changes
