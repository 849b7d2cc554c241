"""A softmax for every step: what token taggers and masked-word models have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras._types import Tensor
from mtlkeras.heads.sequence import StepHead
from mtlkeras.layers._chain import IMPOSSIBLE


class SoftmaxSteps(StepHead):
    """One class for each step, by the softmax of its own logits; rows of zeros where no step is."""

    padding: ClassVar = 0.0

    def activate(self, scores: Tensor) -> Tensor:
        mask = ops.max(scores, axis=-1, keepdims=True) > IMPOSSIBLE / 2
        return ops.where(mask, ops.softmax(scores), 0.0)

    def invert(self, outputs: Tensor) -> Tensor:
        mask = ops.max(outputs, axis=-1, keepdims=True) > 0
        return ops.where(mask, ops.log(ops.maximum(outputs, 1e-37)), IMPOSSIBLE)

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        labels = ops.maximum(targets, 0)
        return ops.sparse_categorical_crossentropy(labels, scores, from_logits=True)

    def by_unit(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the losses of the tokens, over which the task's mean is."""
        return ops.where(mask, values, 0.0), mask

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        best = ops.where(self.steps(outputs), ops.cast(ops.argmax(outputs, axis=-1), "int32"), MISSING)
        return {"": best, "probability": ops.max(outputs, axis=-1)}
