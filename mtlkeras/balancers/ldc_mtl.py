"""Weights learned with a penalty on how far the losses are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import Tensor
from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, at_least_zero
from mtlkeras.specs import spec, tunable

NORMALIZATIONS = ("none", "rescale", "log")
DISCREPANCIES = ("weighted", "plain")
_LEAST = 1e-8
_ROUNDING = 1e-5
_TINY, _HUGE = 1e-30, 3e38


@spec
class LDCMTL(LossBalancer):
    """Loss discrepancy control (Xiao et al. 2025): learned weights, and losses drawn together.

    Two levels: the model minimises g = sum of s_k l_k, and the weights s are learned so that
    f = sum of |t_k l_k - t_(k+1) l_(k+1)|, over tasks that follow each other, is small. The
    single loop of the paper descends both in one step: J = g + penalty f, in the model's
    weights and in what is learned, by the model's optimizer. What this needs of a second pass
    for g at a better point is left out, as the paper does for its gradient is small.

    What gives s is another in the authors' code for each data set. Here it is that for CelebA,
    which needs losses alone: s = sigmoid(v) with one v for each task, 1 at first, and in g
    divided by their sum, held fixed. (For NYUv2 that code reads the model's features.) A
    difference pushes the smaller of its two losses up, so that a weight becomes negative where
    `penalty` is larger than about 1 / (2 K). The order of the tasks counts. A task without labels
    is passed over.

    Args:
        penalty: How much the differences count; the authors take 0.1 for 2 tasks, 0.05 for 3
            and 11, and 0.01 for 40.
        discrepancy: t: `"weighted"` by s, or `"plain"` for 1.
        normalization: l: the losses as they are with `"none"`; with `"rescale"` divided so that
            the first loss of each task is that of the smallest; with `"log"` log of the loss over
            the first one, for losses that are positive.

    Reference: LDC-MTL: Balancing multi-task learning through scalable loss discrepancy control,
    arXiv 2502.08585, 2025.

    Example:

    ```python
    mtlkeras.balancers.LDCMTL().weights([0.5, 2.0, 8.0])  # 0.3333, 0.0833, 0.0208 at first
    ```
    """

    penalty: float = tunable(0.01, 0.0, 0.01, 0.05, 0.1)
    discrepancy: str = tunable("weighted", *DISCREPANCIES)
    normalization: str = tunable("rescale", *NORMALIZATIONS)

    def validate(self) -> None:
        at_least_zero(self, "penalty")
        if self.discrepancy not in DISCREPANCIES:
            raise unknown_name("discrepancy", self.discrepancy, DISCREPANCIES, "discrepancy= of LDCMTL")
        if self.normalization not in NORMALIZATIONS:
            raise unknown_name(
                "normalization", self.normalization, NORMALIZATIONS, "normalization= of LDCMTL"
            )

    def trained(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"router": np.ones(len(heads), "float32")}

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        zeros = np.zeros(len(heads), "float32")
        return {"first": zeros, "seen": zeros}  # Each task's first loss, and whether there is one.

    def weigh(self, problem: Problem) -> Weighed:
        memory, present = problem.memory, problem.present
        first = ops.where(memory["seen"] > 0, memory["first"], problem.losses)
        seen = ops.maximum(memory["seen"], present)
        losses, slope = self._normalized(problem.losses, first, seen, present)
        shares = ops.sigmoid(memory["router"]) * present
        factors = shares if self.discrepancy == "weighted" else present
        total = ops.stop_gradient(ops.maximum(ops.sum(shares), _TINY))
        scaled = factors * losses
        differences = _differences(scaled)
        pairs = _neighbours(present)
        objective = ops.sum(shares * losses) / total + self.penalty * ops.sum(pairs * ops.abs(differences))
        signs = pairs * ops.sign(differences)
        pushes = factors * (ops.sum(signs, axis=1) - ops.sum(signs, axis=0))
        weights = (shares / total + self.penalty * pushes) * slope
        return Weighed(objective, weights, {"first": first * seen, "seen": seen})

    def _normalized(
        self, losses: Tensor, first: Tensor, seen: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns l and its derivative by the losses."""
        if self.normalization == "none":
            return losses, present
        if self.normalization == "log":
            losses, first = ops.maximum(losses, 0.0) + _LEAST, ops.maximum(first, 0.0) + _LEAST
            return present * ops.log(losses / first), present / losses
        first = ops.maximum(first, _TINY)
        least = ops.min(ops.where(seen > 0, first, _HUGE))
        slope = ops.where(present > 0, least / first, 0.0)
        return losses * slope, slope


def _differences(values: Tensor) -> Tensor:
    """Returns value (row) less value (column), shape `(K, K)`; zero where rounding alone tells them apart.

    Losses that are rescaled begin as equal, and the sign of what rounding leaves would differ
    from device to device.
    """
    rows, sizes = ops.expand_dims(values, -1), ops.abs(values)
    apart = ops.abs(rows - values) > _ROUNDING * ops.maximum(ops.expand_dims(sizes, -1), sizes)
    return ops.where(apart, rows - values, 0.0)


def _neighbours(present: Tensor) -> Tensor:
    """Returns 1 for each present task (row) and the next one (column), else 0, shape `(K, K)`."""
    places = ops.cumsum(present)
    steps = places - ops.expand_dims(places, -1)
    return ops.cast(steps == 1, "float32") * present * ops.expand_dims(present, -1)
