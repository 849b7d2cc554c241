"""Weights that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, by_task
from mtlkeras.specs import spec


@spec
class Fixed(LossBalancer):
    """Weights that stay as they are: J = sum of w_k L_k.

    The same as `loss_weights`, with which they multiply; as a balancer it can stand in a search
    beside the others.

    Args:
        weights_by_task: Weights by task (a task left out weighs 1), or in the order of the
            tasks; `None` for 1 each.

    Example:

    ```python
    balancer = mtlkeras.balancers.Fixed({"depth": 0.1})
    ```
    """

    weights_by_task: Any = None

    def preferences(self, tasks: Sequence[str]) -> np.ndarray:
        given = {} if self.weights_by_task is None else self.weights_by_task
        return by_task(self, "weights_by_task", given, tasks, 1.0).astype("float32")

    def weigh(self, problem: Problem) -> Weighed:
        weights = problem.preference * problem.present
        return Weighed(ops.sum(weights * problem.losses), weights)
