"""Which columns are the model's inputs, and the arrays they become."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING
from mtlkeras.data._columns import Column, numbers, word, words
from mtlkeras.data._options import Options
from mtlkeras.data._rows import PICTURE, Rows
from mtlkeras.data._sequences import Sequences, sequences
from mtlkeras.data._tags import token_lists
from mtlkeras.data.picture import fit_array
from mtlkeras.text._splitting import split_text
from mtlkeras.text.encoder import PADDING, TextEncoder


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs by name: for each the columns it is made of.

    Args:
        columns: A column, or a tuple of columns that make one vector, by input name.
        single: Whether a data set gives the one input itself instead of a dict.
    """

    columns: Mapping[str, str | tuple[str, ...]]
    single: bool

    @property
    def names(self) -> list[str]:
        """All columns in use."""
        flat = [(c,) if isinstance(c, str) else c for c in self.columns.values()]
        return list(dict.fromkeys(name for part in flat for name in part))

    def packed(self, values: dict[str, Any]) -> Any:
        """Returns the values as a data set gives them."""
        return next(iter(values.values())) if self.single else values


def input_specs(inputs: Any, defaults: Sequence[str], source: str, columns: Sequence[str]) -> Inputs:
    """Reads the argument `inputs` of `load`."""
    if inputs is None:
        if not defaults:
            raise ValueError(
                f"{source} needs inputs=, the columns to predict from. Its columns: {', '.join(columns)}."
            )
        return Inputs({name: name for name in defaults}, single=len(defaults) == 1)
    if isinstance(inputs, str):
        return Inputs({inputs: inputs}, single=True)
    if not isinstance(inputs, Mapping):
        inputs = {name: name for name in inputs}
    if not inputs:
        raise ValueError("inputs= names no column.")
    return Inputs({n: c if isinstance(c, str) else tuple(c) for n, c in inputs.items()}, single=False)


def default_inputs(rows: Rows, label_columns: Sequence[str], split_column: str) -> Sequence[str]:
    """The inputs when the caller names none: the picture, or all arrays that are no labels."""
    if rows.default_inputs or not rows.as_is:
        return rows.default_inputs
    return [name for name in rows.columns if name not in label_columns and name != split_column]


def input_arrays(rows: Rows, inputs: Inputs, options: Options) -> tuple[dict[str, Any], list[str]]:
    """Makes an array with one entry a row of each input; pictures stay files.

    Returns:
        Arrays or `Pictures` by input name, and notes for the report.
    """
    given = (options.vocabularies or {}).items()
    vocabularies = {name: v if isinstance(v, TextEncoder) else _ids(v) for name, v in given}
    for argument, names in (("vocabularies=", vocabularies), ("tokenize=", options.tokenize or {})):
        for name in names:
            if name not in inputs.names:
                raise unknown_name("input column", name, inputs.names, argument)
    arrays: dict[str, Any] = {}
    notes: list[str] = []
    for name, columns in inputs.columns.items():
        if columns == PICTURE and rows.pictures is not None:
            arrays[name] = rows.pictures
        elif isinstance(columns, str):
            rule = (options.tokenize or {}).get(columns)
            arrays[name] = (
                _tokens(rows, columns, rule, vocabularies, notes)
                if rule or _is_tokens(rows, columns) or isinstance(vocabularies.get(columns), TextEncoder)
                else _array(rows, columns, vocabularies, notes)
            )
        else:
            arrays[name] = _vector(rows, name, columns, vocabularies, notes)
    return arrays, notes


def filled(rows: Rows, inputs: Inputs, options: Options) -> Rows:
    """Returns the source with a value in the empty cells of inputs that `fill` names.

    A name in `fill` that is no input is passed over, so that the means of all columns can be given.

    Raises:
        ValueError: If `fill` has a word for a column of numbers.
    """
    columns = dict(rows.columns)
    for name, value in (options.fill or {}).items():
        if name not in rows.columns:
            raise unknown_name("column", name, rows.columns, f"fill= of {rows.name}")
        if name in inputs.names:
            columns[name] = _filled(name, rows.columns[name].typed(), value)
    return dataclasses.replace(rows, columns=columns)


def _filled(name: str, column: Column, value: Any) -> Column:
    if not column.missing.any():
        return column
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if not column.is_words and not is_number:
        raise ValueError(f"fill= of column '{name}' must be a number, as its values are; received {value!r}.")
    values = column.values.astype(object if column.is_words else np.float64)
    values[column.missing] = word(value) if column.is_words else value
    return dataclasses.replace(column, values=values, missing=np.zeros(len(column), bool))


def empty_cells(rows: Rows, inputs: Inputs, options: Options) -> dict[str, np.ndarray]:
    """Returns where cells are empty, for each column of numbers among the inputs of a table that has such."""
    if rows.as_is:  # Of arrays, NaN is a number like others; `check_finite` is for them.
        return {}
    found = {}
    for name in plain_columns(rows, inputs, options):
        column = rows.column(name, "inputs=").typed()
        if column.missing.any() and not column.is_words and not column.is_lists:
            found[name] = column.missing
    return found


def plain_columns(rows: Rows, inputs: Inputs, options: Options) -> list[str]:
    """The columns among the inputs that are neither pictures nor looked up in a vocabulary."""
    given = {*(options.vocabularies or {}), *(options.tokenize or {})}
    return [
        name
        for name in inputs.names
        if name not in given and not (name == PICTURE and rows.pictures is not None)
    ]


def empty_cell_error(rows: Rows, empty: Mapping[str, np.ndarray]) -> ValueError:
    """The error for cells among numeric inputs that are empty."""
    name, cells = next(iter(empty.items()))
    row = int(np.flatnonzero(cells)[0])
    others = ", ".join(f"'{other}' ({int(more.sum())})" for other, more in empty.items() if other != name)
    return ValueError(
        f"Input column '{name}' has no number in {rows.row_name(row)} (number of such rows: "
        f"{int(cells.sum())}{f'; also in {others}' if others else ''}). Fill them, fill={{'{name}': 0.0}} or "
        "fill=mtlkeras.data.table_statistics(...).mean, or leave these rows out with on_error='skip'."
    )


def _ids(vocabulary: Sequence[Any]) -> dict[str, int]:
    return {word(value): number for number, value in enumerate(vocabulary)}


def _is_tokens(rows: Rows, name: str) -> bool:
    column = rows.column(name, "inputs=")
    if not column.is_lists:
        return False
    return all(isinstance(entry, str) for value in column.values[~column.missing] for entry in value)


def _tokens(
    rows: Rows, name: str, rule: str | None, vocabularies: Mapping[str, Any], notes: list[str]
) -> Sequences:
    """The tokens of each row, as words or as ids."""
    column = rows.column(name, "inputs=")
    encoder = vocabularies.get(name)
    if not column.is_lists:
        rule = rule or encoder.split  # type: ignore[union-attr]
        lists = [
            [] if gone else split_text(v, rule) for v, gone in zip(words(column), column.missing, strict=True)
        ]
    else:
        lists = token_lists(column)
    empty = sum(token == "" for tokens in lists for token in tokens)
    if empty:
        # An empty string would count as padding, and the tags after it as those of other tokens.
        notes.append(f"input column '{name}' has {empty} empty tokens, given as ' '")
        lists = [[token or " " for token in tokens] for tokens in lists]
    if isinstance(encoder, TextEncoder):
        found = sequences([[encoder.token_ids(t) for t in tokens] for tokens in lists], object, PADDING)
        flat = np.array(found.flat.tolist(), np.int32).reshape(-1, encoder.columns)
        return dataclasses.replace(found, flat=flat[:, 0] if encoder.columns == 1 else flat)
    return sequences([[token.encode() for token in tokens] for tokens in lists], object, b"")


def _array(rows: Rows, name: str, vocabularies: Mapping[str, Any], notes: list[str]) -> np.ndarray:
    column = rows.column(name, "inputs=").typed()
    if name in vocabularies:
        ids = vocabularies[name]
        return np.array([ids.get(w, MISSING) for w in words(column)], np.int32)[:, None]
    if column.is_lists:
        raise ValueError(f"Input column '{name}' of {rows.name} holds lists, which cannot be an input.")
    if column.is_words:
        return np.array([w.encode() for w in words(column)], object)
    if column.missing.any() and rows.as_is:
        notes.append(f"input column '{name}' has {int(column.missing.sum())} missing values, given as NaN")
    if column.values.ndim > 1:
        return _narrowed(column.values)
    return (_narrowed(column.values) if rows.as_is else numbers(column).astype(np.float32))[:, None]


def _narrowed(values: np.ndarray) -> np.ndarray:
    """Keras' usual widths: double and long numbers only cost memory."""
    narrow = {"float64": np.float32, "int64": np.int32, "bool": np.float32}
    return values.astype(narrow.get(values.dtype.name, values.dtype), copy=False)


def _vector(
    rows: Rows, name: str, columns: tuple[str, ...], vocabularies: Mapping[str, Any], notes: list[str]
) -> np.ndarray:
    parts = []
    for column in columns:
        array = _array(rows, column, vocabularies, notes)
        if array.ndim != 2:
            _refuse_words(rows, name, rows.column(column, "inputs="), column)
        parts.append(array)
    if len({part.dtype.kind for part in parts}) > 1:
        raise ValueError(
            f"Input '{name}' mixes numbers with columns that vocabularies= turns into ids; keep them apart."
        )
    return np.concatenate(parts, 1)


def _refuse_words(rows: Rows, name: str, column: Column, column_name: str) -> None:
    try:
        numbers(column)
    except ValueError as error:
        reason, row = error.args
        raise ValueError(
            f"Input '{name}': {reason}, in column '{column_name}' of {rows.row_name(row)}. A column of words "
            "needs a vocabulary in vocabularies= to be part of a vector."
        ) from error
    raise ValueError(f"Input '{name}': column '{column_name}' is not one number a row.")


def fit_arrays(arrays: dict[str, Any], options: Options) -> dict[str, Any]:
    """Brings arrays of pictures to the size and channels asked for."""
    if options.image_size is None and options.channels is None:
        return arrays
    pictures = [
        n for n, a in arrays.items() if isinstance(a, np.ndarray) and a.ndim == 4 and a.dtype == np.uint8
    ]
    if not pictures and all(isinstance(a, np.ndarray) for a in arrays.values()):
        raise ValueError(
            "image_size= and channels= need an input of pictures: a uint8 array of shape "
            "(rows, height, width, channels)."
        )
    return {
        n: fit_array(a, options.image_size, options.channels) if n in pictures else a
        for n, a in arrays.items()
    }
