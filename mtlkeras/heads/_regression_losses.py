"""Losses of an error, and the checks of the fields that say which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import Tensor

LOSSES = ("mse", "mae", "huber", "log_cosh", "quantile")


def check_numbers(head: Any, num_targets: int) -> None:
    """Raises `ValueError` unless mean, scale and the fields of the loss fit so many targets."""
    name = type(head).__name__
    for field in ("mean", "scale"):
        values = np.atleast_1d(np.asarray(getattr(head, field), "float64"))
        if values.shape not in ((1,), (num_targets,)) or not np.isfinite(values).all():
            raise ValueError(
                f"{name}: {field} must be a finite number or {num_targets} of them; "
                f"received {getattr(head, field)}."
            )
    if (np.asarray(head.scale) <= 0).any():
        raise ValueError(f"{name}: scale must be above zero; received {head.scale}.")
    if head.loss_kind not in LOSSES:
        raise unknown_name("loss", head.loss_kind, LOSSES, f"loss_kind= of {name}")
    if not (np.isfinite(head.huber_delta) and head.huber_delta > 0):
        raise ValueError(f"{name}: huber_delta must be finite and above zero; received {head.huber_delta}.")
    _check_quantile(name, head.quantile, num_targets)


def _check_quantile(name: str, quantile: Any, num_targets: int) -> None:
    values = np.atleast_1d(np.asarray(quantile))
    if (
        values.dtype.kind not in "fiu"
        or values.shape not in ((1,), (num_targets,))
        or not ((values > 0) & (values < 1)).all()
    ):
        raise ValueError(
            f"{name}: quantile must be between 0 and 1, a number or {num_targets} of them; "
            f"received {quantile!r}."
        )


def regression_loss(head: Any, error: Any) -> Tensor:
    """Returns the loss of each entry.

    Args:
        head: A head of numbers, whose fields say which loss.
        error: Prediction less label, standardised, shape `(..., targets)`.
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
