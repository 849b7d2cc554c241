"""NumPy arrays as a source."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras.data._columns import from_array
from mtlkeras.data._rows import Rows


def from_arrays(source: Any) -> Rows:
    """Takes a dict of arrays, or a pair `(x, y)` of arrays or dicts of them.

    In a pair, an array that is not in a dict is named `"x"` or `"y"`.

    Raises:
        ValueError: If the arrays differ in their number of rows.
    """
    if isinstance(source, Mapping):
        return _rows(dict(source), inputs=())
    if len(source) != 2:
        raise ValueError(f"A tuple of arrays must be a pair (x, y); received {len(source)} entries.")
    x, y = (
        dict(part) if isinstance(part, Mapping) else {name: part}
        for part, name in zip(source, "xy", strict=True)
    )
    twice = sorted(set(x) & set(y))
    if twice:
        raise ValueError(f"'{twice[0]}' names an array in x and one in y; names must differ.")
    return _rows({**x, **y}, inputs=tuple(x))


def open_arrays(path: Path) -> Rows:
    """Takes the arrays of an `.npz` file by name.

    Raises:
        ValueError: If it cannot be read, or the arrays differ in their number of rows.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Cannot read {path.name}: {error}.") from error
    return dataclasses.replace(from_arrays(arrays), name=path.name)


def _rows(arrays: dict[str, Any], inputs: tuple[str, ...]) -> Rows:
    if not arrays:
        raise ValueError("The source holds no arrays.")
    arrays = {str(name): np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"Array '{name}' has no rows: its shape is ().")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
        raise ValueError(f"All arrays must have the same number of rows; received {listed}.")
    columns = {name: from_array(array) for name, array in arrays.items()}
    numbers = np.arange(1, next(iter(lengths.values())) + 1)
    return Rows("the arrays", columns, numbers, default_inputs=inputs, as_is=True)
