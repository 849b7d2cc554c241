"""F1 averaged over classes, from class indices."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("mtlkeras")
class MacroF1(keras.metrics.Metric):
    """Mean over the classes of F1 = 2 TP / (2 TP + FP + FN).

    A class that neither occurs nor is predicted counts as zero, as in scikit-learn.

    Args:
        num_classes: Number of classes.

    Labels are class indices of shape `(batch,)`, predictions class scores of shape
    `(batch, num_classes)`.

    Example:

    >>> metric = mtlkeras.metrics.MacroF1(2)
    >>> metric.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, num_classes: int, name: str = "f1", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.num_classes = num_classes
        # Rows: true positives, labels, predictions, each by class.
        self.counts = self.add_variable((3, num_classes), initializer="zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels = ops.one_hot(ops.cast(y_true, "int32"), self.num_classes)
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes)
        if sample_weight is not None:
            labels = labels * ops.expand_dims(ops.cast(sample_weight, labels.dtype), -1)
            predicted = predicted * ops.expand_dims(ops.cast(sample_weight, labels.dtype), -1)
        hits = labels * ops.cast(predicted > 0, labels.dtype)
        self.counts.assign_add(ops.stack([ops.sum(hits, 0), ops.sum(labels, 0), ops.sum(predicted, 0)]))

    def result(self) -> Any:
        hits, labels, predicted = ops.unstack(ops.convert_to_tensor(self.counts), 3)
        return ops.mean(ops.divide_no_nan(2.0 * hits, labels + predicted))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
