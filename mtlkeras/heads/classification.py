"""One class out of several."""

from __future__ import annotations

from typing import ClassVar

import keras
from keras import ops

from mtlkeras._fields import whole_number
from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.heads._class_weights import WeighedClasses, check_class_weight, class_weight_tensor
from mtlkeras.heads._focal import check_gamma, focal_crossentropy
from mtlkeras.heads._labels import ClassLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.layers.output import TaskOutput
from mtlkeras.metrics import ClassScore, LogLoss, RankScore
from mtlkeras.specs import spec


@spec
class Classification(WeighedClasses, Head):
    """Classifies each example into one of `num_classes` classes.

    The output is the softmax of the logits, shape `(batch, num_classes)`; the loss is the
    cross-entropy, computed from the logits. Labels are class indices of shape `(batch,)` or
    `(batch, 1)`, or one-hot (or probability) rows of shape `(batch, num_classes)`. A missing
    label is `mtlkeras.MISSING` or NaN, in a one-hot row anywhere.

    Args:
        num_classes: Number of classes, at least 2.
        class_names: Names of the classes, by index.
        class_weight: Weight of the loss by class index or name, or a weight for each class, in
            training and evaluation; classes not named weigh 1. `"balanced"` takes n / (K n_c) from
            the labels that `fit` trains on, for n labels of K classes and n_c of the class.
        label_smoothing: Share of the label mass spread evenly over all classes, in [0, 1).
        focal_gamma: Focusing parameter of the focal loss -(1 - p)^gamma log p (Lin et al. 2017,
            Focal Loss for Dense Object Detection, eq. 4); 0 is the cross-entropy. A smoothed label,
            or a row, has the sum over its classes of their share times their focal loss; the
            class weight of the label multiplies that (alpha of eq. 5).

    Metrics: `"accuracy"` (default), `"top_5_accuracy"`, `"f1"` (mean over the classes), `"precision"`
    and `"recall"`, `"balanced_accuracy"`, `"matthews"` (Matthews' correlation), `"log_loss"`, `"auc"`
    (area under the ROC curve) and `"average_precision"`. Precision, recall, auc and average precision
    are those of class 1 for two classes, otherwise the mean over the classes, each against the
    rest. See `mtlkeras.metrics`.

    Example:

    ```python
    head = mtlkeras.heads.Classification(3, class_names=("cat", "dog", "fox"), l2=1e-4)
    ```
    """

    default_metrics: ClassVar = ("accuracy",)
    metric_names: ClassVar = (
        "accuracy",
        "top_5_accuracy",
        "f1",
        "precision",
        "recall",
        "balanced_accuracy",
        "matthews",
        "log_loss",
        "auc",
        "average_precision",
    )

    num_classes: int
    class_names: tuple[str, ...] | None = None
    class_weight: dict | tuple[float, ...] | str | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0

    def validate(self) -> None:
        super().validate()
        whole_number(type(self).__name__, "num_classes", self.num_classes, lowest=2)
        check_class_names(type(self).__name__, self.class_names, self.num_classes, "class_names")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"{type(self).__name__}: label_smoothing must be in [0, 1); received {self.label_smoothing}."
            )
        check_gamma(type(self).__name__, self.focal_gamma)
        check_class_weight(self)

    @property
    def units(self) -> int:
        return self.num_classes

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.class_names

    @property
    def answer_classes(self) -> tuple[int, ...]:
        return (self.num_classes,)

    def class_log_probabilities(self, scores: Tensor) -> Tensor:
        return ops.log_softmax(scores)

    def activate(self, scores: Tensor) -> Tensor:
        return ops.softmax(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        return ops.log(ops.maximum(outputs, 1e-37))

    @property
    def label_form(self) -> ClassLabels:
        return ClassLabels(self.num_classes, rows=True)

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        if len(targets.shape) == 1 and not self.label_smoothing and not self.focal_gamma:
            values = ops.sparse_categorical_crossentropy(targets, scores, from_logits=True)
        else:
            rows = targets if len(targets.shape) == 2 else ops.one_hot(targets, self.num_classes)
            rows = ops.cast(rows, "float32")
            rows = rows * (1.0 - self.label_smoothing) + self.label_smoothing / self.num_classes
            if self.focal_gamma:
                values = focal_crossentropy(rows, scores, self.focal_gamma)
            else:
                values = ops.categorical_crossentropy(rows, scores, from_logits=True)
        return self.weigh(values, targets, layer)

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        weights = class_weight_tensor(self, class_weight)
        indices = targets if len(targets.shape) == 1 else ops.argmax(targets, axis=-1)
        return ops.take(ops.convert_to_tensor(weights), indices)

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return keras.metrics.SparseCategoricalAccuracy(name=name, dtype="float32")
        if name == "top_5_accuracy":
            # No backend but TensorFlow's looks for more classes than there are.
            return keras.metrics.SparseTopKCategoricalAccuracy(
                min(5, self.num_classes), name=name, dtype="float32"
            )
        if name == "log_loss":
            return LogLoss(name=name)
        positive = 1 if self.num_classes == 2 else None
        if name in ("auc", "average_precision"):
            return RankScore(self.num_classes, name, positive, name=name)
        if name in ("precision", "recall"):
            return ClassScore(self.num_classes, name, positive, name=name)
        if name in self.metric_names:
            return ClassScore(self.num_classes, name, name=name)
        return super().metric(name)

    def metric_targets(self, targets: Tensor) -> Tensor:
        """Returns class indices, which the head's metrics compare with the outputs."""
        return targets if len(targets.shape) == 1 else ops.argmax(targets, axis=-1)

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"": ops.argmax(outputs, axis=-1), "probability": ops.max(outputs, axis=-1)}
