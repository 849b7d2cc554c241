"""Losses of an error: squared, absolute, and what lies between and beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import Tensor

LOSSES = ("mse", "mae", "huber", "log_cosh", "quantile")


def check_quantile(quantile: Any, num_targets: int) -> None:
    """Raises `ValueError` unless it is a number between 0 and 1, or one a target."""
    values = np.atleast_1d(np.asarray(quantile))
    if (
        values.dtype.kind not in "fiu"
        or values.shape not in ((1,), (num_targets,))
        or not ((values > 0) & (values < 1)).all()
    ):
        raise ValueError(
            f"Regression: quantile must be between 0 and 1, a number or {num_targets} of them; "
            f"received {quantile!r}."
        )


def regression_loss(head: Any, error: Any) -> Tensor:
    """Returns the loss of each entry.

    Args:
        head: A `mtlkeras.heads.Regression`, whose fields say which loss.
        error: Prediction less label, standardised, shape `(batch, targets)`.
    """
    if head.loss_kind == "mse":
        return ops.square(error)
    if head.loss_kind == "quantile":
        quantile = ops.convert_to_tensor(np.asarray(head.quantile, "float32"))
        return ops.maximum(-quantile * error, (1.0 - quantile) * error)
    size = ops.absolute(error)
    if head.loss_kind == "mae":
        return size
    if head.loss_kind == "log_cosh":  # As |e| + log(1 + exp(-2 |e|)) - log 2, which never overflows.
        return size + ops.softplus(-2.0 * size) - math.log(2.0)
    delta = head.huber_delta
    return ops.where(size <= delta, 0.5 * ops.square(size), delta * (size - 0.5 * delta))
