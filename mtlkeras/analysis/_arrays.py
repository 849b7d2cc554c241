"""Arrays that come from a user, checked."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def as_numpy(value: Any) -> np.ndarray:
    """Returns an array for an array, a tensor of the backend or lists."""
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)


def feature_matrix(value: Any, where: str, least: int = 2) -> np.ndarray:
    """Returns features as float64 of shape `(examples, features)`.

    Args:
        value: The features; axes behind the second are taken as more features.
        where: What to name in the message.
        least: The least number of examples.

    Raises:
        ValueError: If they are no finite numbers, or of too few examples.
    """
    array = as_numpy(value)
    try:
        array = array.astype("float64")
    except (TypeError, ValueError):
        raise ValueError(f"{where}: expected numbers; received the type {array.dtype}.") from None
    if array.ndim < 2 or not array[:1].size and len(array):
        raise ValueError(f"{where}: expected shape (examples, features); received shape {array.shape}.")
    if len(array) < least:
        raise ValueError(f"{where}: expected at least {least} examples; received {len(array)}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: features must be finite; received NaN or infinity.")
    return array.reshape(len(array), -1)
