"""Several yes/no labels at once."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras.heads._labels import YesNoLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.specs import spec


@spec
class MultiLabel(Head):
    """Decides on `num_labels` yes/no labels that can hold together.

    The output is the probability of each label, shape `(batch, num_labels)`; the loss is
    the binary cross-entropy, from the logits, averaged over an example's known entries.
    Labels are 0/1 rows of that shape; each entry may be missing alone (`mtlkeras.MISSING`
    or NaN).

    Args:
        num_labels: Number of labels.
        label_names: Names of the labels, by index.
        threshold: Probability from which a label is decoded as "yes".
        positive_weight: Weight of the "yes" entries in the loss, one number or one a label.

    Metrics, over the known entries: `"accuracy"` (default, at the threshold), `"auc"` (mean over
    labels of the area under the ROC curve), `"f1"` (mean over labels, at the threshold).

    Example:

    ```python
    head = mtlkeras.heads.MultiLabel(2, label_names=("rust", "miner"), positive_weight=3.0)
    ```
    """

    default_metrics: ClassVar = ("accuracy",)
    metric_names: ClassVar = ("accuracy", "auc", "f1")

    num_labels: int
    label_names: tuple[str, ...] | None = None
    threshold: float = 0.5
    positive_weight: float | tuple[float, ...] = 1.0

    def validate(self) -> None:
        super().validate()
        if self.num_labels < 1:
            raise ValueError(f"MultiLabel: num_labels must be at least 1; received {self.num_labels}.")
        check_class_names("MultiLabel", self.label_names, self.num_labels, "label_names")
        if not 0 < self.threshold < 1:
            raise ValueError(f"MultiLabel: threshold must be between 0 and 1; received {self.threshold}.")
        weights = np.atleast_1d(np.asarray(self.positive_weight, "float32"))
        if (
            weights.shape not in ((1,), (self.num_labels,))
            or not (np.isfinite(weights) & (weights >= 0)).all()
        ):
            raise ValueError(
                f"MultiLabel: positive_weight must be a number or {self.num_labels} numbers, finite and not "
                f"negative; received {self.positive_weight}."
            )

    @property
    def units(self) -> int:
        return self.num_labels

    def activate(self, scores: Any) -> Any:
        return ops.sigmoid(scores)

    def invert(self, outputs: Any) -> Any:
        outputs = ops.clip(outputs, 1e-7, 1.0 - 1e-7)
        return ops.log(outputs) - ops.log1p(-outputs)

    @property
    def label_form(self) -> YesNoLabels:
        return YesNoLabels(self.num_labels)

    def loss(self, targets: Any, scores: Any, layer: Any) -> Any:
        values = ops.binary_crossentropy(targets, scores, from_logits=True)
        if self.positive_weight == 1.0:
            return values
        weight = ops.convert_to_tensor(np.asarray(self.positive_weight, "float32"))
        return values * (1.0 + targets * (weight - 1.0))

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return keras.metrics.BinaryAccuracy(name=name, threshold=self.threshold)
        if name == "auc":
            return keras.metrics.AUC(multi_label=True, num_labels=self.num_labels, name=name)
        if name == "f1":
            metric = keras.metrics.F1Score(average="macro", threshold=self.threshold, name=name)
            # It gets its variables with its first rows, and is asked for its result before that.
            nothing = np.zeros((1, self.num_labels), "float32")
            metric.update_state(nothing, nothing)
            return metric
        return super().metric(name)

    def decode(self, outputs: Any) -> dict[str, Any]:
        return {"": ops.cast(outputs >= self.threshold, "int32"), "probability": outputs}

    def labels(self, outputs: np.ndarray, layer: Any) -> np.ndarray:
        """Returns per example the tuple of names (or indices) of the labels that hold."""
        names: tuple = self.label_names or tuple(range(self.num_labels))
        answers = np.empty(len(outputs), object)
        for i, row in enumerate(np.asarray(outputs) >= self.threshold):
            answers[i] = tuple(name for name, yes in zip(names, row, strict=True) if yes)
        return answers
