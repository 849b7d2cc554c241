"""Weights by chance."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, masked_softmax
from mtlkeras.specs import spec


@spec
class RLW(LossBalancer):
    """Random loss weighting (Lin et al. 2022): w = softmax of normal draws, anew in each step.

    The weights sum to 1 over the tasks that have labels.

    Args:
        seed: Seed of the draws; `None` takes one from Keras' global seed.

    Reference: Reasonable effectiveness of random weighting, TMLR 2022.

    Example:

    ```python
    weights = mtlkeras.balancers.RLW().weights([0.5, 2.0], seed=1)
    ```
    """

    seed: int | None = None

    def draw(self, count: int, seed: Any) -> Any:
        return keras.random.normal((count,), seed=seed)

    def weigh(self, problem: Problem) -> Weighed:
        scores = ops.zeros_like(problem.present) if problem.noise is None else problem.noise
        weights = masked_softmax(scores, problem.present)
        return Weighed(ops.sum(weights * problem.losses), weights)
