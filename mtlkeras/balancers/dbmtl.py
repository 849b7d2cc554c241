"""Gradients of log-losses, averaged and brought to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from mtlkeras.balancers.base import Combined, ElementBalancer, Problem, at_least_zero
from mtlkeras.specs import spec, tunable


@spec
class DBMTL(ElementBalancer):
    """Dual-balancing multi-task learning (Lin et al. 2023).

    The gradients of the log-losses, g_k / L_k, are averaged from step to step with the share
    beta / t^sigma of the average so far; all averages are brought to the length of the longest
    and added up (equations 2 and 3). The losses must be positive. The heads follow their own
    losses, not the logarithms. A value is kept for each task and shared parameter.

    Args:
        beta: Share of the average so far at the first step, in [0, 1).
        sigma: How fast that share falls.

    Reference: Dual-balancing for multi-task learning, 2023.

    Example:

    ```python
    balancer = mtlkeras.balancers.DBMTL()
    ```
    """

    buffered: ClassVar = True

    beta: float = tunable(0.9, low=0.1, high=0.99)
    sigma: float = tunable(0.5, low=0.0, high=1.0)

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.beta < 1:
            raise ValueError(f"DBMTL: beta must be in [0, 1); received {self.beta}.")
        at_least_zero(self, "sigma")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"steps": np.zeros((), "float32")}

    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        present = ops.expand_dims(problem.present, -1)
        steps = problem.memory["steps"] + 1.0
        share = self.beta / steps**self.sigma
        losses = ops.expand_dims(ops.maximum(problem.losses, 1e-8), -1)
        kept = [
            ops.where(present > 0, share * old + (1.0 - share) * new / losses, old)
            for new, old in zip(rows, buffers, strict=True)
        ]
        squares = sum(ops.sum(part * part, axis=-1) for part in kept) * problem.present
        lengths = ops.sqrt(squares)
        weights = ops.divide_no_nan(ops.max(lengths), lengths)
        updates = [ops.sum(ops.expand_dims(weights, -1) * part, axis=0) for part in kept]
        return Combined(weights, updates, {"steps": steps}, kept)
