"""A model's inputs from a file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import near_match
from mtlkeras._model.pixel_inputs import picture_shape, rescales
from mtlkeras.data.picture import IMAGE_SUFFIXES, read_pictures

READABLE = f".npy, .npz, .csv, .txt or a picture ({', '.join(IMAGE_SUFFIXES)})"


def read_inputs(paths: Sequence[Any], model: Any) -> Any:
    """Reads what a model takes from files of one kind.

    An `.npy` file holds one example or several; an `.npz` file an array per input by name; a
    `.txt` file a text in each line, for a model of texts or tokens; a `.csv` file has a header and an
    example a row, with the inputs' names as columns, or for a single vector one column per number;
    a picture is one example, read as `mtlkeras.data.load` reads it and resized to the model's input.

    Args:
        paths: The files.
        model: The model.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is of another kind, or does not fit the model's inputs.
    """
    parts = [_read(Path(path), model) for path in paths]
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _read(path: Path, model: Any) -> Any:
    inputs = model.input
    if not path.is_file():
        raise FileNotFoundError(f"No input file {path}.")
    ending = path.suffix.lower()
    if ending == ".npy":
        return _packed(inputs, _fitted(np.load(path), _single(path, inputs), path.name))
    if ending == ".npz":
        with np.load(path) as arrays:
            return _by_name(inputs, {name: arrays[name] for name in arrays.files}, path)
    if ending == ".csv":
        return _read_csv(path, inputs)
    if ending == ".txt":
        return _packed(inputs, _read_lines(path, _single(path, inputs)))
    if ending in IMAGE_SUFFIXES:
        return _packed(inputs, _read_picture(path, _single(path, inputs), model))
    raise ValueError(f"Cannot read {path}: expected {READABLE}.")


def _single(path: Path, inputs: Any) -> Any:
    flat = keras.tree.flatten(inputs)
    if len(flat) != 1:
        names = ", ".join(repr(x.name) for x in flat)
        raise ValueError(
            f"{path.name} is one array, but the model has {len(flat)} inputs: {names}. Use .npz or .csv."
        )
    return flat[0]


def _packed(inputs: Any, array: np.ndarray) -> Any:
    """Returns the array of the only input in the structure that the model takes."""
    return keras.tree.map_structure(lambda _: array, inputs)


def _by_name(inputs: Any, arrays: Mapping[str, Any], path: Path) -> Any:
    def one(x: Any) -> np.ndarray:
        if x.name not in arrays:
            raise ValueError(
                f"{path.name} has no '{x.name}', which the model needs.{near_match(x.name, arrays)} "
                f"It has: {', '.join(arrays) or 'nothing'}."
            )
        return _fitted(arrays[x.name], x, f"'{x.name}' of {path.name}")

    return keras.tree.map_structure(one, inputs)


def _read_lines(path: Path, x: Any) -> np.ndarray:
    """Returns the lines that hold something, as texts; the model's encoder splits them."""
    if x.dtype != "string":
        raise ValueError(f"{path.name} holds texts; the model's input '{x.name}' takes {x.dtype}.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line]
    if not texts:
        raise ValueError(f"{path.name} has no text in it.")
    return np.array(texts, object)


def _read_csv(path: Path, inputs: Any) -> Any:
    # As tables are read in training: spreadsheets put a mark before the first name.
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if len(rows) < 2:
        raise ValueError(f"{path.name} has no rows below its header.")
    short = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if short is not None:
        raise ValueError(
            f"Line {short + 1} of {path.name} has {len(rows[short])} columns, the header {len(rows[0])}."
        )
    columns = {name: np.array(values) for name, *values in zip(*rows, strict=True)}
    flat = keras.tree.flatten(inputs)
    if len(flat) == 1 and flat[0].name not in columns:
        return keras.tree.map_structure(lambda x: _vector(columns, x, path), inputs)
    return _by_name(inputs, columns, path)


def _vector(columns: Mapping[str, np.ndarray], x: Any, path: Path) -> np.ndarray:
    """Makes one vector of all columns."""
    parts = [_converted(values, x, f"Column '{name}' of {path.name}") for name, values in columns.items()]
    return _fitted(np.stack(parts, axis=1), x, path.name)


def _fitted(array: np.ndarray, x: Any, what: str) -> np.ndarray:
    """Brings an array to an input's type and shape; one example alone becomes a batch."""
    array = _converted(array, x, what)
    shape = tuple(x.shape[1:])
    if _fits(array.shape, shape):
        array = array[None]
    if array.ndim == 1 and shape == (1,):
        array = array[:, None]
    if not _fits(array.shape[1:], shape):
        expected = ", ".join(["examples", *map(str, shape)])
        raise ValueError(f"{what} has the shape {array.shape}; the model takes ({expected}).")
    return array


def _fits(shape: tuple, expected: tuple) -> bool:
    return len(shape) == len(expected) and all(e in (None, n) for n, e in zip(shape, expected, strict=True))


def _converted(array: np.ndarray, x: Any, what: str) -> np.ndarray:
    if x.dtype == "string":
        return array.astype(object)
    _check_cells(array, what)
    try:
        numbers = array.astype("float32")
    except ValueError as error:
        raise ValueError(f"{what} must hold numbers: {error}.") from None
    if "float" in x.dtype:
        return numbers
    whole = array.astype(x.dtype) if array.dtype.kind in "iub" else numbers.astype(x.dtype)
    if not np.array_equal(whole, numbers):
        raise ValueError(f"{what} must hold whole numbers that fit {x.dtype}, as the model was trained on.")
    return whole


def _check_cells(array: np.ndarray, what: str) -> None:
    """Raises `ValueError` if cells of a text file are empty."""
    if array.dtype.kind != "U":
        return
    empty = np.flatnonzero(np.char.strip(array) == "")
    if len(empty):
        raise ValueError(
            f"{what} has no number in row {empty[0] + 1} (number of such rows: {len(empty)}). Fill them, as "
            "was done for training, or leave these rows out."
        )


def _read_picture(path: Path, x: Any, model: Any) -> np.ndarray:
    shape = tuple(x.shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3, 4):
        raise ValueError(f"{path.name} is a picture, but the model takes inputs of shape {shape}.")
    if "float" in x.dtype and not rescales(model, x):
        raise ValueError(
            f"{path.name} has pixels 0 to 255, and the model takes numbers whose scale only its "
            "recipe knows. Give an .npy file, or let the recipe define read(path, data_dir)."
        )
    return read_pictures(path, *picture_shape(x)).astype(x.dtype)
