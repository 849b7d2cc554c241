"""The overlap of what is predicted with what is there."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import mean_where


@keras.saving.register_keras_serializable("mtlkeras")
class MeanIoU(keras.metrics.Metric):
    """The mean over the classes of intersection over union, of pixels of which some have no label.

    Classes that neither labels nor predictions have are left out of the mean; before any label it is 0.
    Keras' metric of that name counts in int64, which JAX has not.

    Args:
        num_classes: Number of classes.

    Labels and predictions are class indices of any one shape, weights of the same; a weight of 0 stands
    for a label that is missing, whatever the label is then.

    Example:

    >>> metric = mtlkeras.metrics.MeanIoU(2)
    >>> metric.update_state([[0, 1, 1, -1]], [[0, 1, 0, 1]], sample_weight=[[1, 1, 1, 0]])
    >>> float(metric.result())  # The mean of 1/2 and 1/2.
    0.5
    """

    def __init__(self, num_classes: int, name: str = "mean_iou", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.num_classes = num_classes
        # Rows: pixels that are right, labelled and predicted; each by class.
        self.counts = self.add_variable((3, num_classes), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, predicted = (self._rows(y) for y in (y_true, y_pred))
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
            labels, predicted = labels * weights, predicted * ops.cast(weights > 0, "float32")
            weighed = predicted * weights
        else:
            weighed = predicted
        self.counts.assign_add(ops.sum(ops.stack([labels * predicted, labels, weighed]), axis=1))

    def _rows(self, y: Any) -> Any:
        y = ops.reshape(ops.maximum(ops.cast(y, "int32"), 0), (-1,))
        return ops.one_hot(y, self.num_classes, dtype="float32")

    def result(self) -> Tensor:
        right, labelled, predicted = ops.unstack(ops.convert_to_tensor(self.counts), 3)
        union = labelled + predicted - right
        return mean_where(ops.divide_no_nan(right, union), union > 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
