"""Weights that make all losses fall at one rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, above_zero, masked_softmax
from mtlkeras.specs import spec, tunable

_LEAST = 1e-8
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


@spec
class FAMO(LossBalancer):
    """Fast adaptive multitask optimisation (Liu et al. 2023): all losses fall at one rate.

    With z = softmax(xi) and losses L, the step minimises c sum of z_k log L_k, where
    c = 1 / sum of z_k / L_k; the weights z_k c / L_k sum to 1. Afterwards xi descends along
    J_z^T (log L - log L') + decay xi, where J_z is the derivative of the softmax and L' the
    losses after the step (algorithm 1). As in the authors' code, xi is moved by Adam.

    Args:
        learning_rate: Of xi.
        decay: Draws xi to zero.
        second_pass: With `True`, L' is the losses of the same batch after the update, as
            published: a second forward pass in each step. With `False` it is the losses that the
            next step finds on the next batch. That costs nothing and is not the published
            method: the change then holds the difference between two batches as well.

    Reference: FAMO: Fast adaptive multitask optimization, NeurIPS 2023.

    Example:

    ```python
    mtlkeras.balancers.FAMO().objective([0.5, 2.0, 8.0])  # 0.7922 at first.
    ```
    """

    learning_rate: float = tunable(0.025, low=0.001, high=0.1, log=True)
    decay: float = tunable(0.01, 0.0, 0.001, 0.01)
    second_pass: bool = True

    def validate(self) -> None:
        above_zero(self, "learning_rate")
        if not self.decay >= 0:
            raise ValueError(f"FAMO: decay must not be negative; received {self.decay}.")

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        zeros = np.zeros(len(heads), "float32")
        return {
            "logits": zeros,
            "mean": zeros,  # Of the gradients of xi, and of their squares.
            "square": zeros,
            "steps": np.zeros((), "float32"),
            "log_losses": zeros,
            "seen": zeros,  # Which tasks `log_losses` holds.
        }

    def weigh(self, problem: Problem) -> Weighed:
        changes = {} if self.second_pass else self.after_step(problem)
        log_losses = _log(problem.losses)
        share = masked_softmax({**problem.memory, **changes}["logits"], problem.present)
        rate = ops.divide_no_nan(share, ops.exp(log_losses))
        scale = ops.divide_no_nan(1.0, ops.sum(rate))
        changes = {**changes, "log_losses": log_losses, "seen": problem.present}
        return Weighed(scale * ops.sum(share * log_losses), rate * scale, changes)

    def after_step(self, problem: Problem) -> Mapping[str, Any]:
        """Returns what changes in the memory once the losses after an update are known."""
        memory = problem.memory
        both = memory["seen"] * problem.present
        change = (memory["log_losses"] - _log(problem.losses)) * both
        share = masked_softmax(memory["logits"], both)
        gradient = share * (change - ops.sum(share * change)) + self.decay * memory["logits"]
        # Nothing is known before the first step.
        compared = ops.cast(ops.sum(both) > 0, "float32")
        steps = memory["steps"] + compared
        mean = _BETA_1 * memory["mean"] + (1 - _BETA_1) * gradient
        square = _BETA_2 * memory["square"] + (1 - _BETA_2) * gradient * gradient
        step = (mean / (1 - _BETA_1 ** ops.maximum(steps, 1.0))) / (
            ops.sqrt(square / (1 - _BETA_2 ** ops.maximum(steps, 1.0))) + _EPSILON
        )
        return {
            "logits": memory["logits"] - self.learning_rate * step * compared,
            "mean": ops.where(compared > 0, mean, memory["mean"]),
            "square": ops.where(compared > 0, square, memory["square"]),
            "steps": steps,
        }


def _log(losses: Tensor) -> Tensor:
    return ops.log(ops.maximum(losses, 0.0) + _LEAST)
