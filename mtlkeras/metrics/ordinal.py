"""Metrics of ordered classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def predicted_rank(probabilities: Any) -> Any:
    """Returns the predicted rank: how many k have P(class > k) above one half.

    This is the median of the distribution, the rank that minimises the expected distance.

    Args:
        probabilities: Class probabilities in order, shape `(batch, classes)`.
    """
    above = 1.0 - ops.cumsum(probabilities, axis=-1)[:, :-1]
    return ops.sum(ops.cast(above > 0.5, "int32"), axis=-1)


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalAccuracy(keras.metrics.Mean):
    """Share of examples whose predicted rank is the label.

    Labels are ranks of shape `(batch,)`, predictions class probabilities in order.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        hits = ops.equal(ops.cast(y_true, "int32"), predicted_rank(y_pred))
        super().update_state(ops.cast(hits, "float32"), sample_weight)


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalError(keras.metrics.Mean):
    """Mean distance between predicted rank and label, in ranks.

    Labels are ranks of shape `(batch,)`, predictions class probabilities in order.
    """

    def __init__(self, name: str = "mae", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        distance = ops.absolute(ops.cast(y_true, "int32") - predicted_rank(y_pred))
        super().update_state(ops.cast(distance, "float32"), sample_weight)
