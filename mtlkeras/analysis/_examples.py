"""Inputs of a model as arrays of which rows can be taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._types import Inputs


def input_arrays(model: Any, x: Inputs, asked_by: str) -> Any:
    """Returns a model's inputs as an array, or as a dict or list of them, all of one length.

    Args:
        model: The model.
        x: Its inputs in memory.
        asked_by: What to name in messages.

    Raises:
        ValueError: If they are a data set or a generator, or of different lengths.
    """
    if hasattr(x, "element_spec") or isinstance(x, (Iterator, keras.utils.PyDataset)):
        raise ValueError(
            f"{asked_by}: expected arrays of examples, which can be picked out; received {type(x).__name__}."
        )
    if isinstance(x, Mapping):
        arrays: Any = {name: _array(values) for name, values in x.items()}
    elif isinstance(x, (list, tuple)) and len(keras.tree.flatten(model.input)) > 1:
        arrays = [_array(values) for values in x]
    else:
        arrays = _array(x)
    lengths = {len(array) for array in keras.tree.flatten(arrays)}
    if len(lengths) != 1:
        raise ValueError(f"{asked_by}: inputs are for different numbers of examples: {sorted(lengths)}.")
    return arrays


def count_of(arrays: Any) -> int:
    """Returns how many examples inputs are for."""
    return len(keras.tree.flatten(arrays)[0])


def taken(arrays: Any, rows: np.ndarray) -> Any:
    """Returns some examples of inputs, by their indices or a mask."""
    return keras.tree.map_structure(lambda array: array[rows], arrays)


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "numpy"):  # Also of strings, which Keras does not convert.
        return values.numpy()
    try:
        return np.asarray(values)
    except ValueError:  # Lists of tokens of different lengths.
        array = np.empty(len(values), object)
        array[:] = [list(row) for row in values]
        return array
