"""Area under the ROC curve for a two-class head."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras.metrics.ranking import RankScore


@keras.saving.register_keras_serializable("mtlkeras")
class BinaryAUC(RankScore):
    """Area under the ROC curve of class 1 of two: `RankScore(2, "auc", positive=1)`.

    Args:
        bins: Number of bins that the predictions are sorted into.

    Labels are class indices of shape `(batch,)`, predictions the two classes' probabilities.

    Example:

    >>> metric = mtlkeras.metrics.BinaryAUC()
    >>> metric.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, bins: int = 2048, name: str = "auc", **kwargs: Any) -> None:
        super().__init__(2, "auc", positive=1, bins=bins, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "bins": self.bins}
