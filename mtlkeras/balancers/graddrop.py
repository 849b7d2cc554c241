"""One sign for each gradient element, by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Seed, Tensor
from mtlkeras.balancers.base import Combined, ElementBalancer, Problem
from mtlkeras.specs import spec, tunable


@spec
class GradDrop(ElementBalancer):
    """Gradient sign dropout (Chen et al. 2020), on the gradients of the parameters.

    Of each element only the parts of one sign are added up: the positive ones with probability
    P = (1 + sum of g_k / sum of |g_k|) / 2, else the negative ones (equation 1). The paper
    applies it at an activation; here the elements are those of the shared parameters, as in
    TorchJD.

    Args:
        leak: Share of each gradient that passes in any case, in [0, 1].
        seed: Seed of the draws; `None` takes one from Keras' global seed.

    Reference: Just pick a sign: Optimizing deep multitask models with gradient sign dropout,
    NeurIPS 2020.

    Example:

    ```python
    balancer = mtlkeras.balancers.GradDrop(leak=0.1)
    ```
    """

    leak: float = tunable(0.0, low=0.0, high=0.5)
    seed: int | None = None

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.leak <= 1:
            raise ValueError(f"GradDrop: leak must be in [0, 1]; received {self.leak}.")

    def draw_elements(self, size: int, seed: Seed) -> Tensor | None:
        return keras.random.uniform((size,), dtype="float32", seed=seed)

    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        updates, start = [], 0
        for gradients in rows:
            noise = problem.noise[start : start + gradients.shape[1]]
            start += gradients.shape[1]
            total = ops.sum(gradients, axis=0)
            purity = 0.5 + 0.5 * ops.divide_no_nan(total, ops.sum(ops.absolute(gradients), axis=0))
            kept = ops.sum(gradients * ops.cast((gradients > 0) == (purity > noise), "float32"), axis=0)
            updates.append(self.leak * total + (1.0 - self.leak) * kept)
        return Combined(problem.present, updates)
