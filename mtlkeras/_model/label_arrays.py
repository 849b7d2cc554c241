"""Labels and sample weights as they come from a user, as checked NumPy arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras.heads._labels import NumberLabels
from mtlkeras.heads.base import Head

_UNEVEN = (
    "the rows differ in length: pad them to one length with -1. For tags, mtlkeras.data.TagEncoder pads them "
    "and turns names into ids."
)


def label_array(task: str, head: Head, value: Any) -> np.ndarray:
    """Returns one task's labels in the shape and type of its head, each checked.

    Classes are int32 with `MISSING`, numbers float32 with NaN for what is missing, whatever marked it:
    `None`, pandas' NA, the mask of a masked array.

    Args:
        task: Name of the task.
        head: Its head.
        value: An array or tensor of any backend and type, or lists.

    Raises:
        ValueError: If the shape does not fit, a label is no number, or none that the head knows.
    """
    form = head.label_form
    try:
        array = form.arranged(as_array(value, head.names))
        _check(array, form, head.names)
    except ValueError as error:
        raise ValueError(f"Labels of task '{task}': {error}") from None
    kept = form.kept_as(array)
    if array.dtype == kept:
        return array
    if kept == "int32":
        return array.astype(kept) if array.dtype.kind != "f" else _no_nan(array).astype(kept)
    if form.are_numbers and array.dtype.kind == "i":
        array = np.where(array == MISSING, np.nan, array)
    return _within_range(task, array, kept)


def _no_nan(array: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(array), MISSING, array)


def weight_array(task: str, head: Head, weight: Any, labels: np.ndarray) -> np.ndarray:
    """Returns one task's sample weights as float32: one for each example, or one for each label.

    Args:
        task: Name of the task.
        head: Its head.
        weight: The weights.
        labels: The task's labels, as `label_array` gives them.

    Raises:
        ValueError: If there are more or less weights than labels, or one is no finite number of at
            least zero.
    """
    where = f"sample_weight of task '{task}'"
    try:
        array = as_array(weight, None)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    array = arranged_weights(task, head, array, labels.shape)
    if len(array) != len(labels):
        raise ValueError(f"{where}: expected {len(labels)} weights, received {len(array)}.")
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{where}: weights must be finite and not negative; received {array[place]} for example "
            f"{place[0]} (number of such weights: {int(wrong.sum())})."
        )
    if array.ndim > 1:
        head.check_label_weights(array, where)
    return array.astype("float32")


def arranged_weights(task: str, head: Head, weights: Any, label_shape: Any) -> Any:
    """Returns weights with one axis (a weight an example), or with the labels' own (a weight a label).

    Args:
        task: Name of the task.
        head: Its head.
        weights: An array or a tensor.
        label_shape: Shape of the labels as their form arranges them, where it is known.

    Raises:
        ValueError: If the shape is neither.
    """
    shape, given, rank = tuple(weights.shape), tuple(weights.shape), len(label_shape)
    by_label = head.weighed_by_label and rank > 1
    if len(shape) == rank + 1 > 2 and shape[-1] == 1:
        weights, shape = weights[..., 0], shape[:-1]
    if len(shape) == 2 and shape[1] == 1 and not (by_label and rank == 2 and label_shape[1] == 1):
        weights, shape = weights[:, 0], shape[:1]
    if by_label and len(shape) == 3 and rank == 4 and label_shape[-1] == 1:  # Of one number a pixel.
        weights, shape = weights[..., None], (*shape, 1)
    pairs = zip(shape[1:], label_shape[1:], strict=False)
    fits = len(shape) == 1 or (
        by_label and len(shape) == rank and all(a == b or None in (a, b) for a, b in pairs)
    )
    if not fits:
        names = ("time",) if rank == 2 else ("height", "width", "masks")
        sizes = [name if n is None else str(n) for name, n in zip(names, label_shape[1:], strict=False)]
        or_label = f" or (one a label) (batch, {', '.join(sizes)})" if by_label else ""
        raise ValueError(
            f"sample_weight of task '{task}': expected one weight an example, shape (batch,){or_label}; "
            f"received shape {given}."
        )
    return weights


def as_array(value: Any, names: Iterable[Any] | None) -> np.ndarray:
    """Returns numbers in any form as a NumPy array of a bool, whole-number or float type.

    Args:
        value: An array, a tensor, a series, or lists in which `None` stands for a missing label.
        names: Names of the classes, for the message about text.

    Raises:
        ValueError: If they are no numbers, or of different lengths.
    """
    if hasattr(value, "to_tensor") and hasattr(value, "to_list"):  # TensorFlow's ragged tensor.
        rows = value.to_list()
        longest = max(map(len, rows), default=0)
        value = [[*row, *[None] * (longest - len(row))] for row in rows]
    if isinstance(value, np.ma.MaskedArray):
        gaps, value = np.ma.getmaskarray(value), np.asarray(value.data).astype(object)
        value[gaps] = None
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError:
        raise ValueError(_UNEVEN) from None
    if array.dtype.kind == "O":
        array = _from_objects(array, names)
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and its like are NumPy's guests.
        array = array.astype("float32" if "float" in array.dtype.name else "int64")
    if array.dtype.kind in "US":
        raise _is_text(array.flat[0] if array.size else "", names)
    if array.dtype.kind not in "buif":
        raise ValueError(f"expected numbers, received the type {array.dtype}.")
    return array.astype("float32") if array.dtype == "float16" else array  # Which holds every marker.


def _from_objects(array: np.ndarray, names: Iterable[Any] | None) -> np.ndarray:
    """Returns an array of Python values as numbers, of which whole ones stay such."""
    missing = np.array([_is_gap(value) for value in array.flat], bool).reshape(array.shape)
    values = array[~missing]
    for value in values:
        if isinstance(value, (str, bytes)):
            raise _is_text(value, names)
        if isinstance(value, (list, tuple, np.ndarray)):
            raise ValueError(_UNEVEN)
    whole = all(isinstance(value, (int, np.integer, np.bool_)) for value in values)
    result = np.full(array.shape, MISSING if whole else np.nan, np.int64 if whole else np.float64)
    try:
        result[~missing] = values
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected numbers, received a value such as {values[0]!r}.") from None
    return result


def _is_gap(value: Any) -> bool:
    if value is None:
        return True
    pandas = sys.modules.get("pandas")
    if pandas is not None and value is pandas.NA:
        return True
    return isinstance(value, (float, np.floating)) and value != value


def _is_text(value: Any, names: Iterable[Any] | None) -> ValueError:
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    listed = f" Its class names are {', '.join(map(str, names))}." if names else ""
    return ValueError(f"expected numbers, received text such as {value!r}.{listed}")


def _check(array: np.ndarray, form: Any, names: Iterable[Any] | None) -> None:
    """Raises `ValueError` for the first label that is neither missing nor what a head knows."""
    with np.errstate(invalid="ignore"):
        wrong = form.wrong(array)
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    many = f"(number of such labels: {int(wrong.sum())})"
    if isinstance(form, NumberLabels):
        raise ValueError(f"label of example {place[0]} is infinite {many}.")
    if getattr(form, "are_rows", None) is not None and form.are_rows(array):
        raise ValueError(
            f"row {array[place[0]].tolist()} of example {place[0]} is no row of probabilities, which are "
            f"from 0 to 1 and sum to 1."
        )
    raise ValueError(f"label {array[place]} of example {place[0]} is outside {form.expected} {many}.")


def _within_range(task: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """Returns labels in a float type that they stay finite in, also as Keras' `floatx`."""
    array = array.astype("float64")
    narrow = min(dtype, keras.config.floatx(), key=lambda name: _largest(name))
    if np.nanmax(np.abs(array), initial=0.0) > _largest(narrow):
        place = int(np.argwhere(np.abs(array) > _largest(narrow))[0][0])
        raise ValueError(
            f"Labels of task '{task}': label {array[place].tolist()} of example {place} does not fit into "
            f"{narrow}, whose largest number is {_largest(narrow):.4g}. Scale the labels."
        )
    return array.astype(dtype)


def _largest(dtype: str) -> float:
    return {"float16": 65504.0, "bfloat16": 3.3895e38}.get(dtype, 3.4028e38)


def weights_by_task(sample_weight: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was given as sample weights of each labelled task; `None` where nothing was."""
    if not isinstance(sample_weight, Mapping):
        return dict.fromkeys(labels, sample_weight)
    return {task: sample_weight.get(task) for task in labels}
