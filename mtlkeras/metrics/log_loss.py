"""Cross-entropy of predicted probabilities, without weights of classes or smoothed labels."""

from __future__ import annotations

import keras
from keras import ops

from mtlkeras._types import ArrayLike, DType
from mtlkeras.metrics._entries import as_rows

_EPSILON = 2.0**-23  # That of float32, to which scikit-learn clips the float32 outputs of `predict`.


@keras.saving.register_keras_serializable("mtlkeras")
class LogLoss(keras.metrics.Mean):
    """Mean of -log of the probability of what the label says, as scikit-learn's `log_loss`.

    For class indices of shape `(batch,)` it is that of the class, for 0/1 rows that of each
    entry, over the known entries. Probabilities below 1.2e-7 count as that.

    Predictions are probabilities of shape `(batch, classes)`; weights have the shape of the
    labels, zero where one is missing. Before any label the result is 0.

    Example:

    >>> metric = mtlkeras.metrics.LogLoss()
    >>> metric.update_state([0, 1], [[0.5, 0.5], [0.75, 0.25]])
    >>> round(float(metric.result()), 4)
    1.0397
    """

    def __init__(self, name: str = "log_loss", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self._direction = "down"

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels, probabilities = ops.convert_to_tensor(y_true), ops.cast(y_pred, "float32")
        if len(labels.shape) == 1:
            probabilities = ops.sum(as_rows(labels, probabilities.shape[-1]) * probabilities, axis=-1)
        else:
            probabilities = ops.where(ops.cast(labels, "float32") > 0.5, probabilities, 1.0 - probabilities)
        super().update_state(-ops.log(ops.clip(probabilities, _EPSILON, 1.0 - _EPSILON)), sample_weight)
