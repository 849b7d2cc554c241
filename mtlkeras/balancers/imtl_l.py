"""Weights that bring all losses to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed
from mtlkeras.specs import spec, tunable


@spec
class IMTLL(LossBalancer):
    """Learns a scale for each loss, the loss balance of IMTL (Liu et al. 2021).

    J = sum of exp(s_k) L_k - s_k, with s_k trained by the model's optimizer (equation 7, base e).
    At its optimum exp(s_k) L_k = 1 for every task. The losses must be positive; where one
    reaches zero its scale grows without bound.

    Args:
        log_scale: s at first.

    Reference: Towards impartial multi-task learning, ICLR 2021.

    Example:

    ```python
    mtlkeras.balancers.IMTLL().objective([0.5, 2.0, 8.0])  # 10.5
    ```
    """

    log_scale: float = tunable(0.0, -1.0, 0.0, 1.0)

    def trained(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"log_scale": np.full(len(heads), self.log_scale, "float32")}

    def weigh(self, problem: Problem) -> Weighed:
        log_scale = problem.memory["log_scale"]
        weights = ops.exp(log_scale) * problem.present
        return Weighed(ops.sum(weights * problem.losses - log_scale * problem.present), weights)
