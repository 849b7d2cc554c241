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


def label_rows(features: np.ndarray, labels: Any, owner: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns features and labels of the examples that have labels.

    Labels come out as classes, whole numbers of shape `(examples,)`, or as numbers, `(examples, numbers)`.

    Raises:
        ValueError: If there are not as many labels as examples, or fewer than two, or of one class only.
    """
    array = as_numpy(labels)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2) or len(array) != len(features):
        raise ValueError(
            f"{owner}: expected {len(features)} labels, one an example, as whole numbers for classes or as "
            f"floats; received the type {array.dtype} and the shape {array.shape}."
        )
    found = _numbers(array, owner) if array.dtype.kind == "f" else _classes(array, owner)
    known = ~np.isnan(found).any(axis=1) if found.ndim > 1 else found >= 0
    if known.sum() < 2:
        raise ValueError(f"{owner}: expected at least two examples with labels; received {known.sum()}.")
    if found.ndim == 1 and np.ptp(found[known]) == 0:
        raise ValueError(
            f"{owner}: expected at least two classes; received labels of {found[known][0]} only."
        )
    return features[known], found[known]


def _numbers(array: np.ndarray, owner: str) -> np.ndarray:
    if np.isinf(array).any():
        raise ValueError(f"{owner}: labels must be finite, or NaN where one is missing; received infinity.")
    return array.astype("float64").reshape(len(array), -1)


def _classes(array: np.ndarray, owner: str) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] != 1:
        raise ValueError(f"{owner}: classes must have shape (examples,); received {array.shape}.")
    return array.reshape(len(array)).astype("int64")
