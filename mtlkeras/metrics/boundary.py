"""How well predicted boundaries meet those that are there."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import mean_where


@keras.saving.register_keras_serializable("mtlkeras")
class BoundaryF1(keras.metrics.Metric):
    """F1 of the boundary pixels of each class, which count as met within some pixels.

    The boundary of a class are its pixels with one of another class at a side. Precision is the share of
    predicted boundary pixels with one that is there within `tolerance`, recall the share of those that are
    there with a predicted one within it (Csurka, Larlus and Perronnin 2013, What is a good evaluation measure
    for semantic segmentation?, section 3.2). All pixels of all pictures count together, so that batches
    change nothing; the mean is over the classes that have a boundary, predicted or there. Pixels without a
    label are on no boundary and make none. The picture's border is none.

    Args:
        num_classes: Number of classes, or of masks.
        tolerance: Greatest distance in pixels, from middle to middle.

    Labels and predictions are class indices of shape `(batch, height, width)`, or zeros and ones of masks,
    `(batch, height, width, masks)`. Weights are of that shape; a label counts if its weight is above 0.

    Raises:
        ValueError: For a tolerance below 0.

    Example:

    >>> metric = mtlkeras.metrics.BoundaryF1(2, tolerance=0)
    >>> metric.update_state([[[0, 0, 1, 1]]], [[[0, 1, 1, 1]]])
    >>> float(metric.result())  # Pixels 1 and 2 against 0 and 1: none of either class meets.
    0.0
    """

    of_pictures = True  # It is given labels and answers with the axes of pictures.

    def __init__(
        self, num_classes: int, tolerance: float = 2.0, name: str = "boundary_f1", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"BoundaryF1: tolerance must be at least 0 pixels; received {tolerance}.")
        self._direction = "up"
        self.num_classes, self.tolerance = num_classes, float(tolerance)
        # Rows: predicted boundary pixels and those of them that are met, then the same of the labels'.
        self.counts = self.add_variable((4, num_classes), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, answers = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        known = ops.ones_like(labels, dtype="float32")
        if sample_weight is not None:
            known = ops.cast(ops.convert_to_tensor(sample_weight) > 0, "float32")
        if len(labels.shape) == 3:
            known = ops.expand_dims(known, -1)
        there, found = (_edges(self._planes(y), known) for y in (labels, answers))
        met = [found * self._around(there), there * self._around(found)]
        self.counts.assign_add(
            ops.stack([ops.sum(x, axis=(0, 1, 2)) for x in (found, met[0], there, met[1])])
        )

    def _planes(self, y: Any) -> Any:
        """Returns a 0 or 1 by pixel and class."""
        if len(y.shape) == 4:
            return ops.cast(y > 0, "float32")
        return ops.one_hot(ops.maximum(ops.cast(y, "int32"), 0), self.num_classes, dtype="float32")

    def _around(self, edges: Any) -> Any:
        """Returns which pixels have one of a boundary within the tolerance."""
        reach = int(self.tolerance)
        far = np.arange(-reach, reach + 1)
        disc = (far[:, None] ** 2 + far[None, :] ** 2 <= self.tolerance**2).astype("float32")
        kernel = np.repeat(disc[:, :, None, None], self.num_classes, 2)
        spread = ops.depthwise_conv(
            edges, ops.convert_to_tensor(kernel), 1, padding="same", data_format="channels_last"
        )
        return ops.cast(spread > 0.5, "float32")

    def result(self) -> Tensor:
        found, met, there, recalled = ops.unstack(ops.convert_to_tensor(self.counts), 4)
        precision, recall = ops.divide_no_nan(met, found), ops.divide_no_nan(recalled, there)
        values = ops.divide_no_nan(2.0 * precision * recall, precision + recall)
        return mean_where(values, found + there > 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "tolerance": self.tolerance}


def _edges(planes: Any, known: Any) -> Any:
    """Returns the pixels of each class that touch a known one of another, float32 zeros and ones."""
    other = (1.0 - planes) * known
    padded = ops.pad(other, ((0, 0), (1, 1), (1, 1), (0, 0)))
    sides = [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
    beside = ops.maximum(ops.maximum(sides[0], sides[1]), ops.maximum(sides[2], sides[3]))
    return planes * known * beside
