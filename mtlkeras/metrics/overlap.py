"""The overlap of what is predicted with what is there: intersection over union, and Dice."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import mean_where

MEASURES = ("iou", "dice")


@keras.saving.register_keras_serializable("mtlkeras")
class Overlap(keras.metrics.Metric):
    """Intersection over union, or Dice, of pixels by class, of which some have no label.

    With hits h, labels t and predictions p of a class, its intersection over union is h / (t + p - h), and
    its Dice coefficient 2 h / (t + p), which is its F1 (Dice 1945, Measures of the Amount of Ecologic
    Association Between Species). Counts are those of all batches together. The mean is over the classes that
    labels or predictions have; what neither has is 0, as is all before any label.

    Args:
        num_classes: Number of classes.
        measure: `"iou"` or `"dice"`.
        of: Index of the only class that counts; `None` for the mean over the classes.

    Labels and predictions are class indices of any one shape, weights of the same; a weight of 0 stands
    for a label that is missing, whatever the label is then.

    Raises:
        ValueError: For an unknown measure, or a class that is none.

    Example:

    >>> metric = mtlkeras.metrics.Overlap(2, "dice", of=1)
    >>> metric.update_state([[0, 1, 1, -1]], [[0, 1, 0, 1]], sample_weight=[[1, 1, 1, 0]])
    >>> round(float(metric.result()), 4)  # 2 * 1 / (2 + 1)
    0.6667
    """

    def __init__(
        self,
        num_classes: int,
        measure: str = "iou",
        of: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or measure, **kwargs)
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES, f"measure= of {type(self).__name__}")
        if of is not None and not 0 <= of < num_classes:
            raise ValueError(
                f"{type(self).__name__}: of= is the index of one of {num_classes} classes; received {of}."
            )
        self._direction = "up"
        self.num_classes, self.measure, self.of = num_classes, measure, of
        # Rows: pixels that are right, labelled and predicted; each by class. Keras' metric of the overlap
        # counts in int64, which JAX has not.
        self.counts = self.add_variable((3, num_classes), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, predicted = (self._rows(y) for y in (y_true, y_pred))
        if sample_weight is not None:
            weights = self._row_weights(ops.cast(sample_weight, "float32"))
            labels = ops.where(weights > 0, labels * weights, 0.0)
            predicted = ops.where(weights > 0, predicted * weights, 0.0)
            right = ops.where(predicted > 0, labels, 0.0)
        else:
            right = labels * predicted
        self.counts.assign_add(ops.stack([ops.sum(x, axis=0) for x in (right, labels, predicted)]))

    def _rows(self, y: Any) -> Any:
        """Returns a 0 or 1 by pixel and class."""
        y = ops.reshape(ops.maximum(ops.cast(y, "int32"), 0), (-1,))
        return ops.one_hot(y, self.num_classes, dtype="float32")

    def _row_weights(self, weights: Any) -> Any:
        return ops.reshape(weights, (-1, 1))

    def result(self) -> Tensor:
        right, labelled, predicted = ops.unstack(ops.convert_to_tensor(self.counts), 3)
        both = labelled + predicted
        values = (
            ops.divide_no_nan(2.0 * right, both)
            if self.measure == "dice"
            else ops.divide_no_nan(right, both - right)
        )
        return mean_where(values, both > 0) if self.of is None else values[self.of]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "measure": self.measure,
            "of": self.of,
        }


@keras.saving.register_keras_serializable("mtlkeras")
class MaskOverlap(Overlap):
    """What `Overlap` is, of masks that may overlap: each counts alone, its yes as a class.

    Args:
        num_classes: Number of masks.
        measure: `"iou"` or `"dice"`.
        of: Index of the only mask that counts; `None` for the mean over those with any yes.

    Labels, predictions and weights are of one shape `(..., masks)`, or in a row, one mask of a pixel after
    the other; labels and predictions are 0 or 1.

    Example:

    >>> metric = mtlkeras.metrics.MaskOverlap(2)
    >>> metric.update_state([[1, 1], [0, 1]], [[1, 0], [1, 1]])
    >>> float(metric.result())  # The mean of 1/2 and 1/2.
    0.5
    """

    def _rows(self, y: Any) -> Any:
        return ops.cast(ops.reshape(ops.cast(y, "float32"), (-1, self.num_classes)) > 0.5, "float32")

    def _row_weights(self, weights: Any) -> Any:
        return ops.reshape(weights, (-1, self.num_classes))
