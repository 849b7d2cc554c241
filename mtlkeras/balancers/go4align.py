"""Weights by groups of tasks that learn alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.balancers._groups import group_means
from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, above_zero, masked_softmax
from mtlkeras.specs import spec, tunable

_LEAST = 1e-8
_TINY = 1e-30


@spec
class GO4Align(LossBalancer):
    """Group optimisation for multi-task alignment (Shen et al. 2024): like tasks get one weight.

    Each task has an indicator p_k q_k (equation 7): its scale p_k, the mean of all losses over
    its own (equation 5), and its smoothness q, proportional to q_k exp(-beta L_k) of the step
    before and summing to 1 (equation 6). The tasks fall into groups by K-means of the
    indicators, and weigh as much as their group's mean (equation 3); J = sum of w_k L_k with the
    weights held fixed.

    The groups are the best ones there are, found exactly and the same in every run; the
    authors' code takes where K-means ends from a random start. That code's scale is
    the sum of the losses in place of their mean, so that its weights are K times as large. With
    as many groups as tasks each task has a weight of its own. A loss near zero gives its whole
    group a weight near infinity, so that no task should be learned without error. And
    exp(-beta L_k) has a unit: losses of hundreds want a smaller beta.

    Args:
        groups: How many groups at most; 2 for three tasks and 5 for eleven in the paper.
        beta: How much a step's losses move the smoothness; small losses gain by it.

    Reference: GO4Align: Group optimization for multi-task alignment, NeurIPS 2024.

    Example:

    ```python
    mtlkeras.balancers.GO4Align(groups=2).weights([0.5, 2.0, 8.0])  # 2.334, 0.3646, 0.3646
    ```
    """

    groups: int = tunable(2, 1, 2, 3, 5)
    beta: float = tunable(1e-4, low=1e-5, high=0.1, log=True)

    def validate(self) -> None:
        above_zero(self, "beta")
        if self.groups < 1:
            raise ValueError(f"GO4Align: groups must be a whole number above zero; received {self.groups!r}.")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        # The logarithm of q, up to a number that is the same for all tasks.
        return {"log_smoothness": np.zeros(len(heads), "float32")}

    def weigh(self, problem: Problem) -> Weighed:
        losses, present = problem.losses * problem.present, problem.present
        smoothness = problem.memory["log_smoothness"] - self.beta * losses
        indicators = _scales(losses, present, problem.count) * masked_softmax(smoothness, present)
        size = ops.maximum(ops.max(indicators), _TINY)
        weights = size * group_means(indicators / size, present, self.groups) * present
        kept = ops.maximum(smoothness - ops.max(smoothness), -1 / _TINY)
        return Weighed(ops.sum(weights * losses), weights, {"log_smoothness": kept})


def _scales(losses: Tensor, present: Tensor, count: Tensor) -> Tensor:
    """Returns the mean loss over each; equal ones where all losses are zero."""
    mean = ops.sum(losses) / count
    return present * (mean + _TINY) / (ops.maximum(losses, _LEAST * mean) + _TINY)
