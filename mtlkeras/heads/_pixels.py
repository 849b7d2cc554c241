"""What a pixel's label can be for `Segmentation`: one of several classes, or a yes or no for each mask."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.heads._focal import focal_binary_crossentropy, focal_crossentropy
from mtlkeras.heads._labels import LabelForm, MaskLabels, PixelLabels
from mtlkeras.heads._pixel_losses import dice_loss
from mtlkeras.metrics import BoundaryF1, MaskOverlap, Overlap


class _PixelLabels:
    """What both have in common.

    Args:
        head: The `mtlkeras.heads.Segmentation`, whose fields say how many, and which losses.
    """

    def __init__(self, head: Any) -> None:
        self.head = head

    def boundary(self, name: str) -> keras.metrics.Metric:
        """Returns a metric of the boundaries."""
        return BoundaryF1(self.head.num_classes, name=name)


class PixelClasses(_PixelLabels):
    """One of several classes: softmax, and class indices as labels."""

    @property
    def label_form(self) -> LabelForm:
        """What the labels look like."""
        return PixelLabels(self.head.num_classes)

    def activate(self, scores: Tensor) -> Tensor:
        """Returns probabilities."""
        return ops.softmax(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        """Returns scores for probabilities."""
        return ops.log(ops.maximum(outputs, 1e-37))

    def crossentropy(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the cross-entropy of each label."""
        return ops.sparse_categorical_crossentropy(ops.maximum(targets, 0), scores, from_logits=True)

    def focal(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the focal loss of each label."""
        return focal_crossentropy(self._rows(targets), scores, self.head.focal_gamma)

    def dice(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns for each label the Dice loss of its picture."""
        known = ops.cast(ops.expand_dims(targets >= 0, -1), "float32")
        loss = dice_loss(self._rows(targets), ops.softmax(scores), known)[..., 0]
        return ops.broadcast_to(loss, ops.shape(targets))

    def _rows(self, targets: Tensor) -> Tensor:
        return ops.one_hot(ops.maximum(targets, 0), self.head.num_classes, dtype="float32")

    def weights(self, targets: Tensor, class_weights: Tensor) -> Tensor:
        """Returns the weight of each label, for one a class."""
        return ops.take(class_weights, ops.maximum(targets, 0))

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        """Returns the likeliest class of each pixel, and its probability."""
        best = ops.cast(ops.argmax(outputs, axis=-1), "int32")
        return {"": best, "probability": ops.max(outputs, axis=-1)}

    def overlap(self, measure: str, of: int | None, name: str) -> keras.metrics.Metric:
        """Returns a metric of the overlap, of one class or in the mean."""
        return Overlap(self.head.num_classes, measure, of, name=name)


class PixelMasks(_PixelLabels):
    """A yes or no for each of several masks: sigmoid, and zeros and ones as labels."""

    @property
    def label_form(self) -> LabelForm:
        """What the labels look like."""
        return MaskLabels(self.head.num_classes)

    def activate(self, scores: Tensor) -> Tensor:
        """Returns probabilities."""
        return ops.sigmoid(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        """Returns scores for probabilities."""
        outputs = ops.clip(outputs, 1e-7, 1.0 - 1e-7)
        return ops.log(outputs) - ops.log1p(-outputs)

    def crossentropy(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the cross-entropy of each label."""
        return self._focal(targets, scores, 0.0)

    def focal(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the focal loss of each label."""
        return self._focal(targets, scores, self.head.focal_gamma)

    def _focal(self, targets: Tensor, scores: Tensor, gamma: float) -> Tensor:
        return focal_binary_crossentropy(ops.maximum(targets, 0.0), scores, gamma)

    def dice(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns for each label the Dice loss of its picture."""
        by_pixel = self.head.by_pixel(targets)
        known = ops.cast(by_pixel >= 0.0, "float32")
        loss = dice_loss(by_pixel, ops.sigmoid(self.head.by_pixel(scores)), known)[..., 0]
        return ops.broadcast_to(loss, ops.shape(targets))

    def weights(self, targets: Tensor, class_weights: Tensor) -> Tensor:
        """Returns the weight of each label: for a yes that of its mask, for a no 1."""
        yes = ops.cast(self.head.by_pixel(targets) > 0.5, "float32")
        return ops.reshape(1.0 + yes * (class_weights - 1.0), ops.shape(targets))

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        """Returns the masks as zeros and ones, and their probabilities."""
        return {"": ops.cast(outputs >= self.head.threshold, "int32"), "probability": outputs}

    def overlap(self, measure: str, of: int | None, name: str) -> keras.metrics.Metric:
        """Returns a metric of the overlap, of one mask or in the mean."""
        return MaskOverlap(self.head.num_classes, measure, of, name=name)
