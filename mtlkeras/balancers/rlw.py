"""Weights by chance."""

from __future__ import annotations

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import Seed, Tensor
from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, masked_softmax
from mtlkeras.specs import spec, tunable

DISTRIBUTIONS = {"normal": keras.random.normal, "uniform": keras.random.uniform}


@spec
class RLW(LossBalancer):
    """Random loss weighting (Lin et al. 2022): w = softmax of random draws, anew in each step.

    The weights sum to 1 over the tasks that have labels.

    Args:
        distribution: `"uniform"`: draws from 0 to 1, with which no task gets more than 2.7 times
            another's weight; or `"normal"`, the default of the authors' code: of mean 0 and variance
            1. On MultiFashion normal draws cost a point of accuracy and uniform ones nothing.
        seed: Seed of the draws; `None` takes one from Keras' global seed.

    Reference: Reasonable effectiveness of random weighting, TMLR 2022.

    Example:

    ```python
    weights = mtlkeras.balancers.RLW().weights([0.5, 2.0], seed=1)
    ```
    """

    distribution: str = tunable("uniform", *DISTRIBUTIONS)
    seed: int | None = None

    def validate(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise unknown_name("distribution", self.distribution, DISTRIBUTIONS, "distribution= of RLW")

    def draw(self, count: int, seed: Seed) -> Tensor | None:
        return DISTRIBUTIONS[self.distribution]((count,), dtype="float32", seed=seed)

    def weigh(self, problem: Problem) -> Weighed:
        scores = ops.zeros_like(problem.present) if problem.noise is None else problem.noise
        weights = masked_softmax(scores, problem.present)
        return Weighed(ops.sum(weights * problem.losses), weights)
