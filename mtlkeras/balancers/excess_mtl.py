"""Weights by how far each task is from its optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from mtlkeras.balancers.base import Combined, ElementBalancer, Problem, above_zero, at_least_zero
from mtlkeras.specs import spec, tunable


@spec
class ExcessMTL(ElementBalancer):
    """Robust multi-task learning with excess risks (He et al. 2024).

    A task's excess risk is estimated by its gradient and the diagonal of its Hessian, taken as
    the root of the sum of squared gradients so far: e_k = sum over elements of g^2 / root
    (equation 7). The weights are multiplied by exp(step e_k / first e_k) and divided so that
    they sum to K (equation 9, where they sum to 1). A value is kept for each task and shared
    parameter.

    Args:
        step: How fast the weights follow.
        warmup: Epochs of `fit` with equal weights, whose mean of e_k is the task's first one; three
            in the paper (appendix C.1). With 0, and in a training loop without epochs, it is
            that of the first batch, as in the authors' code: then chance has a say in the weights.

    Reference: Robust multi-task learning with excess risks, ICML 2024.

    Example:

    ```python
    balancer = mtlkeras.balancers.ExcessMTL()
    ```
    """

    buffered: ClassVar = True

    step: float = tunable(0.01, low=0.0001, high=0.1, log=True)
    warmup: int = tunable(3, 0, 1, 3)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "step")
        at_least_zero(self, "warmup")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        zeros = np.zeros(len(heads), "float32")
        # The mean of a task's first excess risks, and how many those are; which epoch it is.
        others = {"first": zeros, "counted": zeros, "epoch": np.zeros((), "float32")}
        return {"task_weights": np.ones(len(heads), "float32"), **others}

    def epoch_memory(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        return {"epoch": memory["epoch"] + 1.0}

    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        present = problem.present
        kept = [old + new * new for new, old in zip(rows, buffers, strict=True)]
        excess = sum(
            ops.sum(ops.divide_no_nan(g * g, ops.sqrt(s)), axis=-1) for g, s in zip(rows, kept, strict=True)
        )
        memory = problem.memory
        warming = ops.logical_and(memory["epoch"] > 0, memory["epoch"] <= self.warmup)
        counts = present * ops.cast(ops.logical_or(warming, memory["counted"] == 0), "float32")
        counted = memory["counted"] + counts
        first = memory["first"] + counts * (excess - memory["first"]) / ops.maximum(counted, 1.0)
        rise = ops.clip(self.step * ops.divide_no_nan(excess, first), 0.0, 10.0) * present
        weights = memory["task_weights"] * ops.exp(ops.where(warming, 0.0, rise))
        weights = weights * weights.shape[0] / ops.sum(weights)
        shown = weights * present
        updates = [ops.sum(ops.expand_dims(shown, -1) * g, axis=0) for g in rows]
        return Combined(shown, updates, {"task_weights": weights, "first": first, "counted": counted}, kept)
