"""Gradients turned towards the angles they have had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import NamedTensors, Seed, Tensor
from mtlkeras.balancers._matrices import answer, precise
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.balancers.pcgrad import meetings
from mtlkeras.specs import spec, tunable


@spec
class GradVac(GramBalancer):
    """Gradient vaccine (Wang et al. 2021): conflicts are judged by the usual angle.

    For each pair of tasks the average t of the cosine of their gradients is kept. Where the
    cosine c is below it, so much of g_j is added to g_i that their cosine becomes t:
    |g_i| (t sqrt(1 - c^2) - c sqrt(1 - t^2)) / (|g_j| sqrt(1 - t^2)) times g_j (equation 2).
    Others are met in random order; t starts at zero, so that the first step is that of
    `PCGrad`. The average is over the gradients of the whole representation, or of all the
    parameters that `layers` allow, not by layer.

    Args:
        beta: Share of the newest cosine in the average.
        seed: Seed of the orders; `None` takes one from Keras' global seed.

    Reference: Gradient vaccine: Investigating and improving multi-task optimization in massively
    multilingual models, ICLR 2021.

    Example:

    ```python
    balancer = mtlkeras.balancers.GradVac(beta=0.1)
    ```
    """

    beta: float = tunable(0.01, low=0.001, high=0.5, log=True)
    seed: int | None = None

    def validate(self) -> None:
        super().validate()
        if not 0 < self.beta <= 1:
            raise ValueError(f"GradVac: beta must be in (0, 1]; received {self.beta}.")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"cosines": np.zeros((len(heads), len(heads)), "float32")}

    def draw(self, count: int, seed: Seed) -> Tensor | None:
        # Two tasks have no order.
        return None if count == 2 else keras.random.uniform((count, count), dtype="float32", seed=seed)

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        gram, present = precise(problem.gram), precise(problem.present)
        squares = ops.maximum(ops.diagonal(gram), 0.0)  # Below zero by rounding.
        active = present * ops.cast(squares > 0, gram.dtype)
        targets = precise(problem.memory["cosines"])
        rows, products = ops.eye(gram.shape[0], dtype=gram.dtype), gram
        for met, others in meetings(problem.noise, gram):
            length = ops.sqrt(ops.maximum(ops.sum(products * rows, axis=-1), 0.0))
            theirs = ops.sqrt(ops.sum(met * squares, axis=-1))
            cosine = ops.divide_no_nan(ops.sum(products * met, axis=-1), length * theirs)
            cosine = ops.clip(cosine, -1.0, 1.0)
            target = ops.sum(targets * met, axis=-1)
            slant = ops.sqrt(ops.maximum(1.0 - target * target, 1e-12))
            more = length * (target * ops.sqrt(1.0 - cosine * cosine) - cosine * slant)
            share = ops.divide_no_nan(more, theirs * slant) * ops.cast(cosine < target, gram.dtype)
            rows = rows + ops.expand_dims(share, -1) * met
            products = products + ops.expand_dims(share, -1) * others
            both = met * active * ops.expand_dims(active, -1)
            targets = targets + self.beta * both * (ops.expand_dims(cosine, -1) - targets)
        weights = ops.sum(rows, axis=0) * present
        return answer(weights), {"cosines": ops.cast(targets, "float32")}
