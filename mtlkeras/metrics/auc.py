"""Area under the ROC curve for a two-class head."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("mtlkeras")
class BinaryAUC(keras.metrics.AUC):
    """Area under the ROC curve of class 1, for outputs of shape `(batch, 2)`.

    As `keras.metrics.AUC` (200 thresholds), with class indices of shape `(batch,)` as
    labels and the two class probabilities as predictions.

    Example:

    >>> metric = mtlkeras.metrics.BinaryAUC()
    >>> metric.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    >>> float(metric.result())
    1.0
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, keras.ops.convert_to_tensor(y_pred)[:, 1], sample_weight)
