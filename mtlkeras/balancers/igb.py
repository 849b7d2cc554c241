"""Weights by how far the losses still are from their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, masked_softmax
from mtlkeras.specs import spec, tunable

_LEAST = 1e-8
_LARGEST = 1e6


@spec
class IGB(LossBalancer):
    """Improvable gap balancing, version 1 (Dai et al. 2023): what has improved least weighs most.

    J = sum of v_k log L_k, which no unit of a loss changes, with v = K softmax_k(L_k / B_k) held
    fixed. B_k is the mean loss of an early epoch, as logged, and the loss that is aimed at is
    taken as zero, so that L_k / B_k is the gap still to close. Until B_k is known, v_k = 1; a
    task without any label in that epoch takes the next one that has. The weight of a loss is
    v_k / L_k. Only `fit` has epochs: in a loop of `train_on_batch` without `begin_epoch` J stays
    the sum of log-losses. The losses must be positive.

    Version 2, which learns the weights by reinforcement (soft actor-critic), is not here: it
    has networks and optimizers of its own and trains them on a buffer of many steps.

    Args:
        base_epoch: The epoch, from 1, whose mean losses are B; the second one in the authors'
            code, since the first is spent on finding scales.

    Reference: Improvable gap balancing for multi-task learning, UAI 2023.

    Example:

    ```python
    mtlkeras.balancers.IGB().weights([0.5, 2.0, 8.0])  # 2.0, 0.5, 0.125 in the first epochs
    ```
    """

    base_epoch: int = tunable(2, 1, 2, 3)

    def validate(self) -> None:
        if self.base_epoch < 1:
            raise ValueError(
                f"IGB: base_epoch must be a whole number above zero; received {self.base_epoch!r}."
            )

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        zeros = np.zeros(len(heads), "float32")
        # Losses of the epoch so far and how many examples had labels; B, 0 where it is not known.
        return {"sums": zeros, "labelled": zeros, "base": zeros, "epoch": np.zeros((), "float32")}

    def epoch_memory(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        found = (memory["epoch"] >= self.base_epoch) & (memory["labelled"] > 0) & (memory["base"] == 0)
        mean = memory["sums"] / np.maximum(memory["labelled"], 1)
        zeros = np.zeros_like(mean)
        base = np.where(found, np.maximum(mean, _LEAST), memory["base"])
        return {"sums": zeros, "labelled": zeros, "base": base, "epoch": memory["epoch"] + 1.0}

    def weigh(self, problem: Problem) -> Weighed:
        memory, present = problem.memory, problem.present
        losses = ops.maximum(problem.losses, 0.0) + _LEAST
        known = memory["base"] > 0
        # A task of unknown gap is neither before nor behind the others.
        gaps = ops.where(known, ops.minimum(losses / ops.where(known, memory["base"], 1.0), _LARGEST), 1.0)
        shares = problem.count * masked_softmax(gaps, present)
        shares = ops.where(ops.any(known), shares, present)
        remembered = {
            "sums": memory["sums"] + problem.losses * problem.counts,
            "labelled": memory["labelled"] + problem.counts,
        }
        return Weighed(ops.sum(shares * ops.log(losses)), shares / losses, remembered)
