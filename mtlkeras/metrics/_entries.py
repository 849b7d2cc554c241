"""What metrics over rows of classes or labels have in common: float32 rows and their weights."""

from __future__ import annotations

from typing import Any

from keras import ops


def as_rows(y_true: Any, width: int) -> Any:
    """Returns float32 rows of shape `(batch, width)` for class indices or for 0/1 rows."""
    y_true = ops.convert_to_tensor(y_true)
    if len(y_true.shape) == 2:
        return ops.cast(y_true, "float32")
    if width == 1:
        return ops.cast(ops.expand_dims(y_true, -1), "float32")
    return ops.cast(ops.one_hot(ops.cast(y_true, "int32"), width), "float32")


def as_weights(sample_weight: Any, rows: Any) -> Any:
    """Returns float32 weights of the shape of `rows`, for weights by example, by entry or `None`."""
    if sample_weight is None:
        return ops.ones_like(rows)
    weights = ops.cast(sample_weight, "float32")
    return ops.broadcast_to(
        ops.expand_dims(weights, -1) if len(weights.shape) == 1 else weights, ops.shape(rows)
    )


def mean_where(values: Any, defined: Any) -> Any:
    """Returns the mean of those values that are defined; 0 if none is."""
    defined = ops.cast(defined, "float32")
    return ops.divide_no_nan(ops.sum(ops.where(defined > 0, values, 0.0)), ops.sum(defined))
