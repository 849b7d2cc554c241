"""F1 averaged over classes, from class indices."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras.metrics.classes import ClassScore


@keras.saving.register_keras_serializable("mtlkeras")
class MacroF1(ClassScore):
    """Mean over the classes of F1 = 2 TP / (2 TP + FP + FN): `ClassScore(num_classes, "f1")`.

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
        super().__init__(num_classes, "f1", name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "num_classes": self.num_classes}
