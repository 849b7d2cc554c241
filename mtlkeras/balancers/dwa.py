"""Weights by how fast losses fell of late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, above_zero, masked_softmax
from mtlkeras.specs import spec, tunable


@spec
class DWA(LossBalancer):
    """Dynamic weight average (Liu, Johns and Davison 2019): what falls slowest weighs most.

    w_k = K softmax_k(r_k / temperature), where r_k is the ratio of the task's mean losses in the
    last two epochs (equation 7); 1 in the first two epochs. The means are over the labelled
    examples of a whole epoch, as logged. Only `fit` has epochs: in a loop of `train_on_batch`
    the weights stay 1.

    Args:
        temperature: The larger, the more equal the weights.

    Reference: End-to-end multi-task learning with attention, CVPR 2019.

    Example:

    ```python
    balancer = mtlkeras.balancers.DWA(temperature=2.0)
    ```
    """

    temperature: float = tunable(2.0, low=0.5, high=5.0)

    def validate(self) -> None:
        above_zero(self, "temperature")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        zeros, ones = np.zeros(len(heads), "float32"), np.ones(len(heads), "float32")
        # Losses of the epoch so far and how many steps had labels; means of the two epochs before.
        return {"sums": zeros, "steps": zeros, "last": zeros, "ratio": ones}

    def epoch_memory(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        seen = memory["steps"] > 0
        mean = np.where(seen, memory["sums"] / np.maximum(memory["steps"], 1), memory["last"])
        both = seen & (memory["last"] > 0)
        ratio = np.where(both, mean / np.where(both, memory["last"], 1.0), memory["ratio"])
        zeros = np.zeros_like(mean)
        return {"sums": zeros, "steps": zeros, "last": mean, "ratio": ratio}

    def weigh(self, problem: Problem) -> Weighed:
        memory, present = problem.memory, problem.present
        weights = problem.count * masked_softmax(memory["ratio"] / self.temperature, present)
        remembered = {
            "sums": memory["sums"] + problem.losses * problem.counts,
            "steps": memory["steps"] + problem.counts,
        }
        return Weighed(ops.sum(weights * problem.losses), weights, remembered)
