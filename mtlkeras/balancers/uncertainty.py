"""Weights by learned noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed
from mtlkeras.specs import spec, tunable

# Factor of the precision before the loss, and the power of the precision, by the head's noise.
_FORMS = {"variance": (0.5, 1.0), "scale": (1.0, 0.5), "temperature": (1.0, 1.0)}


@spec
class Uncertainty(LossBalancer):
    """Weighs each task by the noise that is learned for it (Kendall, Gal and Cipolla 2018).

    With s_k = log sigma_k^2 trained by the model's optimizer, J is the sum over tasks of

    - exp(-s) L / 2 + s / 2 for squared errors: a normal distribution of variance sigma^2
      (equation 5),
    - exp(-s) L + s / 2 for class heads: a softmax of scores divided by the temperature sigma^2
      (equation 10),
    - exp(-s / 2) L + s / 2 for absolute errors: a Laplace distribution of scale sigma.

    A head says which it is by its `noise`. A task without labels in the batch adds nothing, and
    its s stays.

    Args:
        log_variance: s at first.

    Reference: Multi-task learning using uncertainty to weigh losses for scene geometry and
    semantics, CVPR 2018.

    Example:

    ```python
    balancer = mtlkeras.balancers.Uncertainty()
    balancer.weights([0.5, 2.0, 8.0])  # 0.5 each at first, as for squared errors.
    ```
    """

    log_variance: float = tunable(0.0, -1.0, -0.5, 0.0)

    def trained(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        return {"log_variance": np.full(len(heads), self.log_variance, "float32")}

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        forms = [_FORMS[getattr(head, "noise", "variance")] for head in heads]
        return {"form": np.array(forms, "float32").T}

    def weigh(self, problem: Problem) -> Weighed:
        log_variance = problem.memory["log_variance"]
        factor, power = problem.memory["form"][0], problem.memory["form"][1]
        weights = factor * ops.exp(-power * log_variance) * problem.present
        penalty = 0.5 * log_variance * problem.present
        return Weighed(ops.sum(weights * problem.losses + penalty), weights)
