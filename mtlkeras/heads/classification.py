"""One class out of several."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras.heads._labels import ClassLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.metrics import BinaryAUC, MacroF1
from mtlkeras.specs import spec


@spec
class Classification(Head):
    """Classifies each example into one of `num_classes` classes.

    The output is the softmax of the logits, shape `(batch, num_classes)`; the loss is the
    cross-entropy, computed from the logits. Labels are class indices of shape `(batch,)` or
    `(batch, 1)`, or one-hot (or probability) rows of shape `(batch, num_classes)`. A missing
    label is `mtlkeras.MISSING` or NaN, in a one-hot row anywhere.

    Args:
        num_classes: Number of classes, at least 2.
        class_names: Names of the classes, by index.
        class_weight: Weight of the loss by class index or name, in training and
            evaluation; classes not named weigh 1.
        label_smoothing: Share of the label mass spread evenly over all classes, in [0, 1).

    Metrics: `"accuracy"` (default), `"top_5_accuracy"`, `"f1"` (mean over the classes), and
    for two classes `"auc"` (area under the ROC curve of class 1).

    Example:

    ```python
    head = mtlkeras.heads.Classification(3, class_names=("cat", "dog", "fox"), l2=1e-4)
    ```
    """

    default_metrics: ClassVar = ("accuracy",)
    metric_names: ClassVar = ("accuracy", "top_5_accuracy", "f1", "auc")

    num_classes: int
    class_names: tuple[str, ...] | None = None
    class_weight: dict | None = None
    label_smoothing: float = 0.0

    def validate(self) -> None:
        super().validate()
        if self.num_classes < 2:
            raise ValueError(f"Classification: num_classes must be at least 2; received {self.num_classes}.")
        check_class_names("Classification", self.class_names, self.num_classes, "class_names")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"Classification: label_smoothing must be in [0, 1); received {self.label_smoothing}."
            )
        if self.num_classes != 2 and "auc" in [m for m in self.metrics or () if isinstance(m, str)]:
            raise ValueError(
                f"Classification: metric 'auc' is for 2 classes; num_classes is {self.num_classes}."
            )
        class_weight_vector(self, self.class_weight or {})

    @property
    def units(self) -> int:
        return self.num_classes

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.class_names

    def activate(self, scores: Any) -> Any:
        return ops.softmax(scores)

    def invert(self, outputs: Any) -> Any:
        return ops.log(ops.maximum(outputs, 1e-37))

    @property
    def label_form(self) -> ClassLabels:
        return ClassLabels(self.num_classes, rows=True)

    def loss(self, targets: Any, scores: Any, layer: Any) -> Any:
        if len(targets.shape) == 1 and not self.label_smoothing:
            values = ops.sparse_categorical_crossentropy(targets, scores, from_logits=True)
        else:
            rows = targets if len(targets.shape) == 2 else ops.one_hot(targets, self.num_classes)
            rows = rows * (1.0 - self.label_smoothing) + self.label_smoothing / self.num_classes
            values = ops.categorical_crossentropy(rows, scores, from_logits=True)
        return values * self.weigh_classes(targets, self.class_weight) if self.class_weight else values

    def class_weights(self, class_weight: Any) -> np.ndarray:
        return class_weight_vector(self, class_weight)

    def weigh_classes(self, targets: Any, class_weight: dict) -> Any:
        weights = class_weight_vector(self, class_weight)
        indices = targets if len(targets.shape) == 1 else ops.argmax(targets, axis=-1)
        return ops.take(ops.convert_to_tensor(weights), indices)

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return keras.metrics.SparseCategoricalAccuracy(name=name)
        if name == "top_5_accuracy":
            return keras.metrics.SparseTopKCategoricalAccuracy(5, name=name)
        if name == "f1":
            return MacroF1(self.num_classes, name=name)
        if name == "auc" and self.num_classes == 2:
            return BinaryAUC(name=name)
        return super().metric(name)

    def metric_targets(self, targets: Any) -> Any:
        """Returns class indices, which the head's metrics compare with the outputs."""
        return targets if len(targets.shape) == 1 else ops.argmax(targets, axis=-1)

    def decode(self, outputs: Any) -> dict[str, Any]:
        return {"": ops.argmax(outputs, axis=-1), "probability": ops.max(outputs, axis=-1)}


def class_weight_vector(head: Any, class_weight: dict) -> np.ndarray:
    """Returns weights by class index for a dict by index or name.

    Raises:
        ValueError: If a class is unknown or a weight is negative or not finite.
    """
    weights = np.ones(head.num_classes, "float32")
    names = head.class_names or ()
    for key, value in class_weight.items():
        index = names.index(key) if key in names else key
        if not isinstance(index, (int, np.integer)) or not 0 <= index < head.num_classes:
            known = ", ".join(map(str, names)) or f"0 to {head.num_classes - 1}"
            raise ValueError(f"class_weight names the class {key!r}; the classes are {known}.")
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"class_weight of class {key!r} must be finite and not negative; received {value}."
            )
        weights[index] = value
    return weights
