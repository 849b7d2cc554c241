"""The mean overlap of what is predicted with what is there."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras.metrics.overlap import Overlap


@keras.saving.register_keras_serializable("mtlkeras")
class MeanIoU(Overlap):
    """The mean over the classes of intersection over union: `Overlap(num_classes, "iou")`.

    Classes that neither labels nor predictions have are left out of the mean; before any label it is 0.

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
        super().__init__(num_classes, "iou", name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "num_classes": self.num_classes}
