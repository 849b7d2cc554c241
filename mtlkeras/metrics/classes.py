"""Scores of classes that follow from hits, labels and predictions of each class."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import as_weights, mean_where

BY_CLASS = ("f1", "precision", "recall")
MEASURES = (*BY_CLASS, "balanced_accuracy", "matthews")


@keras.saving.register_keras_serializable("mtlkeras")
class ClassScore(keras.metrics.Metric):
    """F1, precision, recall, balanced accuracy or Matthews' correlation of predicted classes.

    With hits h, labels t and predictions p of a class, precision is h / p, recall h / t and F1
    2 h / (t + p). They are the mean over all classes, of which one that neither occurs nor is
    predicted counts as zero, or that of the class `positive` alone. Balanced accuracy is the mean
    recall of the classes that occur. Matthews' correlation of several classes is that of Gorodkin
    2004 (Comparing two K-category assignments by a K-category correlation coefficient, eq. 8), and
    0 where labels or predictions are of one class only. All as in scikit-learn.

    Args:
        num_classes: Number of classes.
        measure: `"f1"`, `"precision"`, `"recall"`, `"balanced_accuracy"` or `"matthews"`.
        positive: Index of the only class that counts in the first three.

    Labels are class indices of shape `(batch,)`, predictions class scores of shape
    `(batch, num_classes)`, weights of shape `(batch,)`. Before any label the result is 0.

    Raises:
        ValueError: For an unknown measure, or a positive class that is none or has no effect.

    Example:

    >>> metric = mtlkeras.metrics.ClassScore(2, "recall", positive=1)
    >>> metric.update_state([0, 1, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    >>> round(float(metric.result()), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        measure: str = "f1",
        positive: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or measure, **kwargs)
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES, f"measure= of {type(self).__name__}")
        if positive is not None and (measure not in BY_CLASS or not 0 <= positive < num_classes):
            raise ValueError(
                f"{type(self).__name__}: positive names one of {num_classes} classes, for "
                f"{', '.join(BY_CLASS)}; received positive={positive} with measure='{measure}'."
            )
        self._direction = "up"
        self.num_classes, self.measure, self.positive = num_classes, measure, positive
        # Rows: hits, labels, predictions, each by class. In float32 under any floatx, for whole
        # numbers end at 256 in bfloat16.
        self.counts = self.add_variable((3, num_classes), "zeros", dtype="float32", name="counts")

    def predicted(self, y_pred: ArrayLike) -> Tensor:
        """Returns the predicted class indices, shape `(batch,)`."""
        return ops.argmax(y_pred, axis=-1)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, predicted = (
            ops.cast(ops.one_hot(ops.cast(y, "int32"), self.num_classes), "float32")
            for y in (y_true, self.predicted(ops.convert_to_tensor(y_pred)))
        )
        weights = as_weights(sample_weight, labels)
        counted = ops.stack([labels * predicted, labels, predicted])
        self.counts.assign_add(ops.sum(counted * weights, axis=1))

    def result(self) -> Tensor:
        hits, labels, predicted = ops.unstack(ops.convert_to_tensor(self.counts), 3)
        if self.measure == "matthews":
            return matthews(hits, labels, predicted)
        recall = ops.divide_no_nan(hits, labels)
        if self.measure == "balanced_accuracy":
            return mean_where(recall, labels > 0)
        by_class = rates(self.measure, hits, labels, predicted)
        return ops.mean(by_class) if self.positive is None else by_class[self.positive]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "measure": self.measure,
            "positive": self.positive,
        }


def rates(measure: str, hits: Tensor, labels: Tensor, predicted: Tensor) -> Tensor:
    """Returns precision, recall or F1 of each class; 0 where it is 0 / 0."""
    if measure == "precision":
        return ops.divide_no_nan(hits, predicted)
    if measure == "recall":
        return ops.divide_no_nan(hits, labels)
    return ops.divide_no_nan(2.0 * hits, labels + predicted)


def matthews(hits: Tensor, labels: Tensor, predicted: Tensor) -> Tensor:
    """Returns Matthews' correlation for counts by class."""
    total = ops.sum(labels)
    wrongly, missed = predicted - hits, labels - hits
    neither = total - labels - predicted + hits
    # The sum of h s - p t, written so that large products do not cancel. The spreads are exactly
    # 0 for a single class, since each takes the total of its own sums.
    covariance = ops.sum(hits * neither - wrongly * missed)
    spreads = [ops.sqrt(ops.sum(x * (ops.sum(x) - x))) for x in (labels, predicted)]
    return ops.divide_no_nan(covariance, spreads[0] * spreads[1])
