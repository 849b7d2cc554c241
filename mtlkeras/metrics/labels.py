"""Scores of yes/no labels, each entry of which may be missing."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import ArrayLike, DType, Tensor
from mtlkeras.metrics._entries import as_rows, as_weights
from mtlkeras.metrics.classes import BY_CLASS, rates

MEASURES = ("accuracy", *BY_CLASS)


@keras.saving.register_keras_serializable("mtlkeras")
class LabelScore(keras.metrics.Metric):
    """Accuracy, F1, precision or recall of yes/no labels at a threshold.

    Accuracy is the share of right entries. The others are the mean over the labels of what their
    entries give, 0 where that is 0 / 0, as in scikit-learn with `average="macro"`.

    Args:
        num_labels: Number of labels.
        measure: `"accuracy"`, `"f1"`, `"precision"` or `"recall"`.
        threshold: Probability from which a label counts as predicted, itself included.

    Labels are 0/1 rows and predictions probabilities, both of shape `(batch, num_labels)`; weights
    are of that shape or `(batch,)`, zero for an entry that is missing. Before any label the
    result is 0.

    Raises:
        ValueError: For an unknown measure.

    Example:

    >>> metric = mtlkeras.metrics.LabelScore(2, "precision")
    >>> metric.update_state([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.5]])
    >>> float(metric.result())
    0.75
    """

    def __init__(
        self,
        num_labels: int,
        measure: str = "f1",
        threshold: float = 0.5,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or measure, **kwargs)
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES, "measure= of LabelScore")
        self._direction = "up"
        self.num_labels, self.measure, self.threshold = num_labels, measure, threshold
        # Rows: hits, entries that hold, that are predicted, and all of them; each by label.
        self.counts = self.add_variable((4, num_labels), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels = as_rows(y_true, self.num_labels)
        predicted = ops.cast(ops.cast(y_pred, "float32") >= self.threshold, "float32")
        weights = as_weights(sample_weight, labels)
        counted = ops.stack([labels * predicted, labels, predicted, ops.ones_like(labels)])
        self.counts.assign_add(ops.sum(counted * weights, axis=1))

    def result(self) -> Tensor:
        hits, labels, predicted, entries = ops.unstack(ops.convert_to_tensor(self.counts), 4)
        if self.measure == "accuracy":
            wrong = labels + predicted - 2.0 * hits
            return ops.divide_no_nan(ops.sum(entries - wrong), ops.sum(entries))
        return ops.mean(rates(self.measure, hits, labels, predicted))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "measure": self.measure,
            "threshold": self.threshold,
        }


@keras.saving.register_keras_serializable("mtlkeras")
class LabelMatch(keras.metrics.Mean):
    """Share of the examples of which every known yes/no label is right at a threshold.

    Args:
        threshold: Probability from which a label counts as predicted, itself included.

    Labels, predictions and weights are as for `LabelScore`; an example weighs as much as the
    heaviest of its entries, and nothing if it has none.

    Example:

    >>> metric = mtlkeras.metrics.LabelMatch()
    >>> metric.update_state([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.5]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, threshold: float = 0.5, name: str = "exact_match", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self._direction = "up"
        self.threshold = threshold

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        predicted = ops.cast(y_pred, "float32")
        labels = as_rows(y_true, predicted.shape[-1])
        weights = as_weights(sample_weight, labels)
        right = ops.equal(labels > 0.5, predicted >= self.threshold)
        rows = ops.all(ops.logical_or(right, weights <= 0), axis=-1)
        super().update_state(ops.cast(rows, "float32"), ops.max(weights, axis=-1, initial=0.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}
