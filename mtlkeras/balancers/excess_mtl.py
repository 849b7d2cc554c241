"""Weights by how far each task is from its optimum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from mtlkeras.balancers.base import Combined, ElementBalancer, Problem, above_zero
from mtlkeras.specs import spec, tunable


@spec
class ExcessMTL(ElementBalancer):
    """Robust multi-task learning with excess risks (He et al. 2024).

    A task's excess risk is estimated by its gradient and the diagonal of its Hessian, taken as
    the root of the sum of squared gradients so far: e_k = sum over elements of g^2 / root
    (equation 5). The weights are multiplied by exp(step e_k / first e_k) and divided so that
    they sum to K (equation 6). A value is kept for each task and shared parameter.

    Args:
        step: How fast the weights follow.

    Reference: Robust multi-task learning with excess risks, ICML 2024.

    Example:

    ```python
    balancer = mtlkeras.balancers.ExcessMTL()
    ```
    """

    buffered: ClassVar = True

    step: float = tunable(0.01, low=0.0001, high=0.1, log=True)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "step")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        # The first excess risk of a task is zero until it is known.
        return {"task_weights": np.ones(len(heads), "float32"), "first": np.zeros(len(heads), "float32")}

    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        present = problem.present
        kept = [old + new * new for new, old in zip(rows, buffers, strict=True)]
        excess = sum(
            ops.sum(ops.divide_no_nan(g * g, ops.sqrt(s)), axis=-1) for g, s in zip(rows, kept, strict=True)
        )
        first = ops.where(
            ops.logical_and(present > 0, problem.memory["first"] <= 0), excess, problem.memory["first"]
        )
        rise = ops.clip(self.step * ops.divide_no_nan(excess, first), 0.0, 10.0) * present
        weights = problem.memory["task_weights"] * ops.exp(rise)
        weights = weights * weights.shape[0] / ops.sum(weights)
        shown = weights * present
        updates = [ops.sum(ops.expand_dims(shown, -1) * g, axis=0) for g in rows]
        return Combined(shown, updates, {"task_weights": weights, "first": first}, kept)
