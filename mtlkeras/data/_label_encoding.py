"""Labels as they are read, turned into numbers by their spec."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras.data._columns import Column, distinct, from_objects, numbers, word, words
from mtlkeras.data._encoded import Encoded, RowName, meanings_of, not_a_class, unseen_id
from mtlkeras.data._tags import encode_tags
from mtlkeras.data.labels import Label

_LARGEST_CLASS_ID = 9_999
_UNKNOWN = -3  # None of the labels' own markers.
_YES_NO = {
    **{str(MISSING): MISSING, "0": 0, "1": 1},
    **{"False": 0, "True": 1, "false": 0, "true": 1, "no": 0, "yes": 1},
}


def encode(task: str, label: Label, columns: Sequence[Column], row_name: RowName) -> Encoded:
    """Turns the columns of a label into numbers.

    Args:
        task: The task's name, for error messages.
        label: Its spec.
        columns: The columns that the spec names, in its order.
        row_name: Names a row in error messages, from its position.

    Raises:
        ValueError: If a value is not among the classes or not a number.
    """
    columns = read_columns(label, columns)
    kind = find_kind(label, columns)
    if kind == "multi":
        return _encode_multi(task, label, columns, row_name)
    if kind == "number":
        arrays = [_numbers(task, column, row_name) for column in columns]
        return Encoded(arrays[0] if len(arrays) == 1 else np.stack(arrays, 1), "number")
    if len(columns) > 1:
        raise ValueError(
            f"Task '{task}': a label of kind '{kind}' needs one column; received {len(columns)}."
        )
    if kind == "class":
        return _encode_class(task, label, columns[0], row_name)
    if kind == "tags":
        return encode_tags(task, label, columns[0], row_name)
    values = columns[0].values
    return Encoded(values.astype("float32" if values.dtype.kind == "f" else "int32"), "array")


def read_columns(label: Label, columns: Sequence[Column]) -> list[Column]:
    """Returns the columns of a label with what its spec says of patterns and missing values."""
    if label.pattern is not None:
        columns = [_found(column, label.pattern) for column in columns]
    return [column.marked(label.missing).typed() for column in columns]


def _found(column: Column, pattern: str) -> Column:
    """Returns the column with what a pattern finds in each word."""
    matches = [re.search(pattern, spelt) for spelt in words(column)]
    groups = [m and m[min(1, m.re.groups)] for m in matches]
    return dataclasses.replace(from_objects(groups), text=True)


def find_kind(label: Label, columns: Sequence[Column]) -> str:
    """Returns the kind that a label states, or else the one its columns show."""
    column = columns[0]
    if label.kind is not None:
        return label.kind
    if len(columns) > 1 or column.is_lists or label.separator:
        return "multi"
    if column.values.ndim > 1:
        return "array"
    is_float = column.values.dtype.kind == "f" and not column.missing.all()
    return "number" if is_float and label.classes is None else "class"


def _numbers(task: str, column: Column, row_name: RowName) -> np.ndarray:
    try:
        return numbers(column).astype("float32")
    except ValueError as error:
        reason, row = error.args
        raise ValueError(
            f"Task '{task}': {reason}, in {row_name(row)}. A value that stands for no label belongs in "
            "Label(..., missing=[...])."
        ) from error


def _encode_class(task: str, label: Label, column: Column, row_name: RowName) -> Encoded:
    if label.classes is None and not column.is_words:
        return _encode_ids(task, column, row_name)
    if not column.is_words and column.values.dtype.kind != "b" and "-1" not in meanings_of(label.classes):
        column = dataclasses.replace(column, missing=column.missing | (column.values == MISSING))
    classes = label.classes if label.classes is not None else distinct(column)
    meanings = meanings_of(classes)
    spelt = words(column)
    ids = _looked_up(spelt, meanings, column.missing)
    other = unseen_id(label.unseen)
    if other is not None:
        ids[ids == _UNKNOWN] = other
    for row in np.flatnonzero(ids == _UNKNOWN).tolist():
        raise not_a_class(task, spelt[row], meanings, row_name(row))
    return Encoded(ids, "class", tuple(word(name) for name in classes))


def _encode_ids(task: str, column: Column, row_name: RowName) -> Encoded:
    """Whole numbers without a list of classes are class ids already."""
    present = column.values[~column.missing].astype(np.float64)
    present = present[present != MISSING]
    top = int(present.max(initial=-1))
    top = top if column.names is None else len(column.names) - 1
    bad = (present < 0) | (present > min(top, _LARGEST_CLASS_ID)) | (present != np.floor(present))
    if bad.any():
        value = present[bad][0]
        row = int(np.flatnonzero(~column.missing & (column.values == value))[0])
        raise ValueError(
            f"Task '{task}': {word(value)} in {row_name(row)} cannot be a class id, which is a whole number "
            f"from 0 to {min(max(top, 0), _LARGEST_CLASS_ID)}. Give Label(..., kind='number') for a number "
            "to predict, or list the values in Label(..., classes=[...])."
        )
    ids = np.where(column.missing, MISSING, column.values).astype(np.int32)
    names = column.names or (
        ("False", "True") if column.values.dtype.kind == "b" else map(str, range(top + 1))
    )
    return Encoded(ids, "class", tuple(names))


def _encode_multi(task: str, label: Label, columns: Sequence[Column], row_name: RowName) -> Encoded:
    if label.unseen == "wrong":
        raise ValueError(
            f"Task '{task}': unseen='wrong' is for kinds 'class' and 'tags'; a multi-label knows 'error' and "
            "'missing'."
        )
    if len(columns) == 1 and columns[0].values.ndim == 1:
        return _encode_lists(task, label, columns[0], row_name)
    if len(columns) == 1:
        return Encoded(columns[0].values.astype("int32"), "multi", _names(label, columns[0].values.shape[1]))
    result = [
        _yes_no(task, name, column, row_name) for name, column in zip(label.columns, columns, strict=True)
    ]
    return Encoded(np.stack(result, 1), "multi", _names(label, len(columns)))


def _names(label: Label, count: int) -> tuple[str, ...]:
    if label.classes is not None:
        return tuple(map(str, label.classes))
    return label.columns if len(label.columns) == count else tuple(map(str, range(count)))


def _yes_no(task: str, name: str, column: Column, row_name: RowName) -> np.ndarray:
    spelt = words(column)
    result = _looked_up(spelt, _YES_NO, column.missing)
    for row in np.flatnonzero(result == _UNKNOWN).tolist():
        raise ValueError(
            f"Task '{task}': '{spelt[row]}' in column '{name}' of {row_name(row)} is neither 0 nor 1. "
            "Give Label([...], kind='number') for numbers, or Label(..., missing=[...]) for no label."
        )
    return result


def _looked_up(spelt: np.ndarray, meanings: Mapping[str, int], missing: np.ndarray) -> np.ndarray:
    ids = np.array([meanings.get(w, _UNKNOWN) for w in spelt], np.int32)
    ids[missing] = MISSING
    return ids


def _encode_lists(task: str, label: Label, column: Column, row_name: RowName) -> Encoded:
    """A list of words a row becomes a 0 or 1 for each class."""
    lists = {row: _items(label, column.values[row]) for row in np.flatnonzero(~column.missing).tolist()}
    classes = (
        label.classes if label.classes is not None else sorted({i for items in lists.values() for i in items})
    )
    meanings = meanings_of(classes)
    result = np.full((len(column), len(classes)), MISSING, np.int32)
    for row, items in lists.items():
        result[row] = 0
        for item in items:
            if item in meanings:
                result[row, meanings[item]] = 1
            elif label.unseen == "error":
                raise not_a_class(task, item, meanings, row_name(row))
    return Encoded(result, "multi", tuple(word(name) for name in classes))


def _items(label: Label, value: Any) -> list[str]:
    if isinstance(value, str):
        value = [v.strip() for v in value.split(label.separator)] if label.separator else [value]
    return [word(v) for v in (value if isinstance(value, (list, tuple, np.ndarray)) else [value])]
