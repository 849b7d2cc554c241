"""One column of a source: its values, and which of them are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Column:
    """The values of one column or feature, one entry a row.

    Args:
        values: Array with one entry a row; words are Python strings in an object array.
            What stands at a missing entry has no meaning.
        missing: Boolean array with one entry a row.
        text: Whether the values are cells of a text file, so that `"12"` may be a number.
        names: Names of the classes that whole-number values stand for, if the source knows.
    """

    values: np.ndarray
    missing: np.ndarray
    text: bool = False
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> Column:
        """Returns the column with only some rows."""
        return dataclasses.replace(self, values=self.values[rows], missing=self.missing[rows])

    def marked(self, markers: Sequence[Any]) -> Column:
        """Returns the column with the entries that equal a marker taken as missing."""
        if not markers or self.values.ndim > 1 or self.is_lists:
            return self
        marked = np.isin(words(self).astype(str), [word(m) for m in markers])
        return dataclasses.replace(self, missing=self.missing | marked)

    def typed(self) -> Column:
        """Returns a column of numbers where all cells of a text file are numbers."""
        if not self.text:
            return self
        present = self.values[~self.missing].astype(str)
        for dtype in (np.int64, np.float64):
            values = np.zeros(len(self), dtype)
            try:
                values[~self.missing] = present.astype(dtype)
            except (ValueError, OverflowError):
                continue
            return Column(values, self.missing | np.isnan(values), names=self.names).whole()
        return dataclasses.replace(self, text=False)

    def whole(self) -> Column:
        """Returns numbers with gaps that are all whole as whole numbers.

        Of whole numbers with gaps data frames and Parquet files make numbers with fractions, so a column
        in a file would else be something else than the same column in a data frame.
        """
        if self.values.dtype.kind != "f" or self.values.ndim > 1:
            return self
        present = self.values[~self.missing]
        whole = len(present) and self.missing.any() and (np.abs(present) < 2**53).all()
        if not whole or (present != np.floor(present)).any():
            return self
        values = np.zeros(len(self), np.int64)
        values[~self.missing] = present
        return dataclasses.replace(self, values=values)

    @property
    def is_words(self) -> bool:
        """Whether the values are words rather than numbers or lists."""
        return self.values.dtype == object and not self.is_lists

    @property
    def is_lists(self) -> bool:
        """Whether the values are lists of any length."""
        if self.values.dtype != object or self.missing.all():
            return False
        return isinstance(self.values[~self.missing][0], (list, tuple, np.ndarray))


def from_cells(cells: Sequence[str]) -> Column:
    """Makes a column of the cells of a text file; an empty cell, or one of blanks, is missing."""
    values = np.empty(len(cells), object)
    values[:] = cells
    return Column(values, np.array([not cell.strip() for cell in cells], bool), text=True)


def from_array(array: Any, names: tuple[str, ...] | None = None) -> Column:
    """Makes a column of a NumPy array with one entry a row; NaN and words of blanks are missing."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU" and array.ndim == 1:
        return from_objects([_decoded(v) for v in array.tolist()])
    missing = np.zeros(len(array), bool)
    if array.dtype.kind == "f" and array.ndim == 1:
        missing = np.isnan(array)
    return Column(array, missing, names=names)


def from_objects(objects: Sequence[Any], missing: np.ndarray | None = None) -> Column:
    """Makes a column of Python values; `None`, NaN and words of blanks are missing.

    Args:
        objects: Numbers, words, booleans or lists, one a row.
        missing: Which are missing, if the caller knows.
    """
    if missing is None:
        missing = np.array([is_missing(v) for v in objects], bool)
    present = [v for v, gone in zip(objects, missing, strict=True) if not gone]
    dtype = _common_type(present)
    values = np.full(len(objects), "" if dtype is object else 0, dtype)
    if dtype is object:
        lists = any(isinstance(v, (list, tuple, np.ndarray)) for v in present)
        for row in np.flatnonzero(~missing).tolist():
            values[row] = objects[row] if lists else word(objects[row])
    else:
        values[~missing] = present
    return Column(values, missing)


def is_missing(value: Any) -> bool:
    """Whether a Python value stands for "not known"."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (float, np.floating, Decimal)) and value != value)


def word(value: Any) -> str:
    """The word for one value, the same for `3`, `3.0` and `"3"`."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(_decoded(value))


def words(column: Column) -> np.ndarray:
    """The values of a column as an object array of words; missing ones are `""`."""
    result = np.full(len(column), "", object)
    present = column.values[~column.missing]
    # Numbers repeat, so a word is made once for each different one.
    if column.is_words:
        result[~column.missing] = [str(_decoded(v)) for v in present]
    elif len(present):
        unique, inverse = np.unique(present, return_inverse=True)
        result[~column.missing] = np.array([_class_word(column, v) for v in unique], object)[inverse]
    return result


def numbers(column: Column) -> np.ndarray:
    """The values of a column as float64, NaN where missing.

    Raises:
        ValueError: If a value is no finite number; its position is the error's second argument.
    """
    result = np.full(len(column), np.nan)
    for row in np.flatnonzero(~column.missing) if column.is_words else ():
        try:
            result[row] = float(column.values[row])
        except ValueError as error:
            raise ValueError(f"{column.values[row]!r} is not a number", int(row)) from error
    if not column.is_words:
        result[~column.missing] = column.values[~column.missing]
    infinite = np.flatnonzero(np.isinf(result))
    if len(infinite):
        raise ValueError(f"{result[infinite[0]]} is not a finite number", int(infinite[0]))
    return result


def distinct(column: Column) -> list[str]:
    """The different words of a column in sorted order, numbers by size."""
    present = sorted(set(words(column)[~column.missing].tolist()))
    if column.values.dtype != object:
        present.sort(key=lambda text: float(text) if _is_number(text) else 0.0)
    return present


def _class_word(column: Column, value: Any) -> str:
    if column.names is not None and 0 <= int(value) < len(column.names):
        return column.names[int(value)]
    return word(value)


def _common_type(present: Iterable[Any]) -> Any:
    kinds = {_kind(v) for v in present}
    if not kinds:
        return np.float64
    if kinds <= {"bool"}:
        return bool
    if kinds <= {"int"}:
        return np.int64
    return np.float64 if kinds <= {"int", "float"} else object


def _kind(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer)):
        return "int"
    # Databases and Parquet files give exact numbers as Decimal.
    return "float" if isinstance(value, (float, np.floating, Decimal)) else "other"


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
