"""Metrics of ordered classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import ArrayLike, DType, Tensor
from mtlkeras.metrics._entries import as_weights
from mtlkeras.metrics.classes import ClassScore


def predicted_rank(probabilities: Tensor) -> Tensor:
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

    def __init__(self, name: str = "accuracy", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self._direction = "up"

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        hits = ops.equal(ops.cast(y_true, "int32"), predicted_rank(ops.cast(y_pred, "float32")))
        super().update_state(ops.cast(hits, "float32"), sample_weight)


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalError(keras.metrics.Mean):
    """Mean distance between predicted rank and label, in ranks.

    Labels are ranks of shape `(batch,)`, predictions class probabilities in order.
    """

    def __init__(self, name: str = "mae", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype or "float32")
        self._direction = "down"

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        distance = ops.absolute(ops.cast(y_true, "int32") - predicted_rank(ops.cast(y_pred, "float32")))
        super().update_state(ops.cast(distance, "float32"), sample_weight)


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalScore(ClassScore):
    """`ClassScore` of the predicted ranks, for example their balanced accuracy.

    Labels are ranks of shape `(batch,)`, predictions class probabilities in order.

    Example:

    >>> metric = mtlkeras.metrics.OrdinalScore(3, "balanced_accuracy")
    >>> metric.update_state([0, 2], [[0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    >>> float(metric.result())
    0.5
    """

    def predicted(self, y_pred: ArrayLike) -> Tensor:
        return predicted_rank(ops.cast(y_pred, "float32"))


@keras.saving.register_keras_serializable("mtlkeras")
class QuadraticKappa(keras.metrics.Metric):
    """Cohen's kappa of predicted ranks and labels, weighted by squared distance.

    1 - (sum of squared distances) / (the same if ranks and labels were independent), Cohen 1968,
    Weighted kappa, eq. 11. As scikit-learn's with `weights="quadratic"`; where that is 0 / 0,
    as for labels and predictions of one rank, the result is 0.

    Args:
        num_classes: Number of ranks.

    Labels are ranks of shape `(batch,)`, predictions class probabilities in order.

    Example:

    >>> metric = mtlkeras.metrics.QuadraticKappa(3)
    >>> metric.update_state([0, 2], [[0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    >>> round(float(metric.result()), 4)
    0.6667
    """

    def __init__(self, num_classes: int, name: str = "kappa", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.num_classes = num_classes
        # Weight by rank of the labels and of the predictions; the sum of squared distances.
        self.counts = self.add_variable((2, num_classes), "zeros", dtype="float32", name="counts")
        self.squares = self.add_variable((), "zeros", dtype="float32", name="squares")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        pair = ops.stack([ops.cast(y_true, "int32"), predicted_rank(ops.cast(y_pred, "float32"))])
        weights = as_weights(sample_weight, ops.cast(pair[0][:, None], "float32"))
        rows = ops.cast(ops.one_hot(pair, self.num_classes), "float32")
        self.counts.assign_add(ops.sum(rows * weights, axis=1))
        distance = ops.cast(pair[0] - pair[1], "float32")
        self.squares.assign_add(ops.sum(weights[:, 0] * ops.square(distance)))

    def result(self) -> Tensor:
        labels, predicted = ops.unstack(ops.convert_to_tensor(self.counts), 2)
        ranks = ops.arange(self.num_classes, dtype="float32")
        distances = ops.square(ranks[:, None] - ranks)
        # Shares, since products of counts may leave float32.
        shares = ops.divide_no_nan(labels, ops.sum(labels))
        by_chance = ops.sum(shares[:, None] * predicted * distances)
        kappa = 1.0 - ops.divide_no_nan(ops.convert_to_tensor(self.squares), by_chance)
        return ops.where(by_chance > 0, kappa, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
