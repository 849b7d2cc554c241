"""Scores of how predictions rank the examples: area under the ROC curve, average precision."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import as_rows, as_weights, mean_where

MEASURES = ("auc", "average_precision")


@keras.saving.register_keras_serializable("mtlkeras")
class RankScore(keras.metrics.Metric):
    """Area under the ROC curve, or average precision, of each class against the rest.

    The result is the mean over the classes (scikit-learn's `average="macro"`), or that of the class
    `positive`. The area is undefined for a class that all of the labels have or none has; such
    a class is left out of the mean, and 0 is the result if no other is there. The average precision of
    a class without labels is 0, as in scikit-learn.

    Predictions are sorted into bins that are narrow where probabilities of trained models are:
    about 0.004 wide in log-odds near an even chance, 4% of 1e-3, of 1 - 1e-3 and so on. The
    result is exactly scikit-learn's for predictions that are equal within a bin; otherwise it
    differs by less than half the share of pairs that fall into one bin, for a thousand predictions
    and more usually below 1e-4.

    Args:
        num_classes: Number of classes or labels.
        measure: `"auc"` or `"average_precision"`.
        positive: Index of the only class that counts.
        bins: Number of bins; memory and time of an update grow with bins times classes.

    Labels are class indices of shape `(batch,)` or 0/1 rows of shape `(batch, num_classes)`,
    predictions probabilities of shape `(batch, num_classes)`, weights of shape `(batch,)` or
    that of the rows. Before any label the result is 0.

    Raises:
        ValueError: For an unknown measure or class.

    Example:

    >>> metric = mtlkeras.metrics.RankScore(2, "average_precision", positive=1)
    >>> metric.update_state([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.95, 0.05]])
    >>> round(float(metric.result()), 4)
    0.8333
    """

    def __init__(
        self,
        num_classes: int,
        measure: str = "auc",
        positive: int | None = None,
        bins: int = 2048,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or measure, **kwargs)
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES, f"measure= of {type(self).__name__}")
        if positive is not None and not 0 <= positive < num_classes:
            raise ValueError(
                f"{type(self).__name__}: positive must be one of {num_classes} classes; received {positive}."
            )
        self._direction = "up"
        self.num_classes, self.measure, self.positive, self.bins = num_classes, measure, positive, bins
        self._columns = num_classes if positive is None else 1
        # By bin of each class: weight of the labels that are of the class, and of the others.
        self.counts = self.add_variable((self._columns * bins, 2), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, probabilities = as_rows(y_true, self.num_classes), ops.cast(y_pred, "float32")
        weights = as_weights(sample_weight, labels)
        if self.positive is not None:
            labels, probabilities, weights = (
                x[:, self.positive : self.positive + 1] for x in (labels, probabilities, weights)
            )
        places = self._bin(probabilities) + self.bins * ops.arange(self._columns, dtype="int32")
        pairs = ops.stack([weights * labels, weights * (1.0 - labels)], axis=-1)
        self.counts.assign_add(
            ops.segment_sum(
                ops.reshape(pairs, (-1, 2)), ops.reshape(places, (-1,)), self._columns * self.bins
            )
        )

    def _bin(self, probabilities: Tensor) -> Any:
        """Returns the bins of probabilities, by log-odds x brought into -1 to 1 by x / (4 + |x|)."""
        odds = ops.log(ops.maximum(probabilities, 1e-37)) - ops.log(
            ops.maximum(1.0 - probabilities, 2.0**-25)
        )
        place = (0.5 + 0.5 * odds / (4.0 + ops.absolute(odds))) * self.bins
        return ops.clip(ops.cast(ops.floor(place), "int32"), 0, self.bins - 1)

    def result(self) -> Tensor:
        counts = ops.reshape(ops.convert_to_tensor(self.counts), (self._columns, self.bins, 2))
        yes, no = counts[..., 0], counts[..., 1]
        if self.measure == "average_precision":
            above, others = (ops.flip(ops.cumsum(ops.flip(x, 1), axis=1), 1) for x in (yes, no))
            precision = ops.divide_no_nan(above, above + others)
            return ops.mean(ops.divide_no_nan(ops.sum(yes * precision, 1), ops.sum(yes, 1)))
        below = ops.cumsum(no, axis=1) - 0.5 * no  # Pairs within a bin count half.
        pairs = ops.sum(yes, 1) * ops.sum(no, 1)
        return mean_where(ops.divide_no_nan(ops.sum(yes * below, 1), pairs), pairs > 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "measure": self.measure,
            "positive": self.positive,
            "bins": self.bins,
        }
