"""The share of tokens with the right tag."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import ArrayLike, DType


@keras.saving.register_keras_serializable("mtlkeras")
class TokenAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of the labelled tokens whose tag is right.

    Labels and predictions are tag indices of shape `(batch, time)`, weights of the same shape.

    Example:

    >>> metric = mtlkeras.metrics.TokenAccuracy()
    >>> metric.update_state([[0, 1, 2]], [[0, 1, 1]])
    >>> round(float(metric.result()), 4)
    0.6667
    """

    def __init__(self, name: str = "accuracy", dtype: DType = None) -> None:
        super().__init__(fn=_equal, name=name, dtype=dtype or "float32")
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _equal(y_true: ArrayLike, y_pred: ArrayLike) -> Any:
    return ops.cast(ops.equal(ops.cast(y_true, "int32"), ops.cast(y_pred, "int32")), "float32")
