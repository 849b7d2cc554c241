"""The share of the labels' variance that predictions explain."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._backends import sum_over_replicas
from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.metrics._entries import as_rows, as_weights, mean_where


@keras.saving.register_keras_serializable("mtlkeras")
class R2(keras.metrics.Metric):
    """R² = 1 - sum of squared errors / sum of squared distances of the labels from their mean.

    The mean over the targets that have labels, each by its own. For labels that are all equal
    it is 1 if each is met, and otherwise 0, as in scikit-learn; so it is for a single label.

    The labels' mean and squares are merged from batch to batch (Chan, Golub and LeVeque 1979,
    Updating formulae and a pairwise algorithm for computing sample variances, eq. 2.1), so that
    large labels of small variance, such as years, lose nothing.

    Args:
        num_targets: Number of targets.

    Labels and predictions are numbers of shape `(batch, num_targets)`; weights are of that shape
    or `(batch,)`, zero where a label is missing. Before any label the result is 0.

    Example:

    >>> metric = mtlkeras.metrics.R2()
    >>> metric.update_state([[1.0], [2.0], [3.0]], [[1.0], [2.0], [2.0]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, num_targets: int = 1, name: str = "r2", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.num_targets = num_targets
        # Rows: weight, mean and squared distances of the labels, squared errors; by target. They do
        # not add up over replicas, each of which therefore keeps those of all.
        self.moments = self.add_variable(
            (4, num_targets), "zeros", dtype="float32", aggregation="only_first_replica", name="moments"
        )

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        labels = as_rows(y_true, 1)
        predicted = ops.reshape(ops.cast(y_pred, "float32"), ops.shape(labels))
        weights = as_weights(sample_weight, labels)
        labelled = weights > 0
        weights = ops.where(labelled, weights, 0.0)
        weight = ops.sum(weights, 0)
        # Distances from one of the labels, so that the mean of equal ones is each of them.
        anchor = ops.max(ops.where(labelled, labels, -float("inf")), axis=0, initial=-float("inf"))
        anchor = ops.where(weight > 0, anchor, 0.0)
        distances = ops.where(labelled, labels - anchor, 0.0)
        own_mean = anchor + ops.divide_no_nan(ops.sum(weights * distances, 0), weight)
        total, sums = ops.unstack(sum_over_replicas(ops.stack([weight, weight * own_mean])), 2)
        mean = ops.where(total > weight, ops.divide_no_nan(sums, total), own_mean)
        squares = ops.sum(weights * ops.square(ops.where(labelled, labels - mean, 0.0)), 0)
        errors = ops.sum(weights * ops.square(ops.where(labelled, labels - predicted, 0.0)), 0)
        squares, errors = ops.unstack(sum_over_replicas(ops.stack([squares, errors])), 2)
        self.moments.assign(_merged(ops.convert_to_tensor(self.moments), (total, mean, squares, errors)))

    def result(self) -> Tensor:
        weight, mean, squares, errors = ops.unstack(ops.convert_to_tensor(self.moments), 4)
        # What rounding leaves of the squares of labels that are all equal.
        nothing = weight * ops.square(2.0**-23 * mean)
        constant, met = squares <= nothing, errors <= nothing
        explained = 1.0 - ops.divide_no_nan(errors, squares)
        values = ops.where(constant, ops.cast(met, "float32"), explained)
        return mean_where(values, weight > 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_targets": self.num_targets}


@keras.saving.register_keras_serializable("mtlkeras")
class PixelR2(R2):
    """What `R2` is, of numbers of pixels: each pixel is an example.

    Args:
        num_targets: Number of targets.

    Labels, predictions and weights are of one shape `(..., num_targets)`, or in a row, one target of a pixel
    after the other.

    Example:

    >>> metric = mtlkeras.metrics.PixelR2()
    >>> metric.update_state([[[1.0, 2.0, 3.0]]], [[[1.0, 2.0, 2.0]]])
    >>> float(metric.result())
    0.5
    """

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        weights = None if sample_weight is None else self._rows(sample_weight)
        super().update_state(self._rows(y_true), self._rows(y_pred), weights)

    def _rows(self, values: ArrayLike) -> Tensor:
        return ops.reshape(ops.cast(values, "float32"), (-1, self.num_targets))


def _merged(before: Any, batch: tuple[Any, Any, Any, Any]) -> Any:
    """Returns the moments of what was seen before and of a batch."""
    weight, mean, squares, errors = ops.unstack(before, 4)
    more, other_mean, more_squares, more_errors = batch
    total = weight + more
    share = ops.divide_no_nan(more, total)
    step = ops.where(more > 0, other_mean - mean, 0.0)
    return ops.stack(
        [
            total,
            ops.where(weight > 0, mean + share * step, other_mean),
            squares + more_squares + weight * share * ops.square(step),
            errors + more_errors,
        ]
    )
