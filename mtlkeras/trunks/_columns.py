"""Columns of tables as floats: numbers, standardised, and categories, embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._types import Tensor
from mtlkeras.layers.preprocessing import CategoryIndex

_LARGEST_EMBEDDING = 50


def check_columns(trunk: Any) -> None:
    """Raises `ValueError` for categories or scales of a trunk that cannot be."""
    owner = type(trunk).__name__
    for name, known in (trunk.categories or {}).items():
        _check_categories(owner, name, known)
    for name, scale in (trunk.scale or {}).items():
        if not all(value > 0 for value in _numbers(scale)):
            raise ValueError(
                f"{owner}: scale of input '{name}' must be greater than zero; received {scale!r}."
            )


def check_names(trunk: Any, inputs: Mapping[str, Any], *fields: str) -> None:
    """Raises `ValueError` for a name in one of a trunk's fields that is no input's."""
    for field in fields:
        for name in getattr(trunk, field) or {}:
            if name not in inputs:
                raise unknown_name("input", name, inputs, f"{type(trunk).__name__}: {field}")


def column(trunk: Any, name: str, tensor: Tensor, remedy: str = "") -> Any:
    """Returns one input as floats of shape `(batch, n)`.

    Args:
        trunk: The trunk, with the fields `categories`, `embedding_units`, `mean` and `scale` of `MLP`.
        name: The input's name.
        tensor: The input.
        remedy: What else can be done with an input that is no column, for the error message.

    Raises:
        ValueError: If the input does not fit, or needs an entry in `categories`.
    """
    owner = type(trunk).__name__
    if len(tensor.shape) > 2:
        raise ValueError(
            f"{owner}: input '{name}' must have the shape (n,) or (); received {tuple(tensor.shape[1:])}."
            f"{remedy}"
        )
    if name in (trunk.categories or {}):
        return _embedded(trunk, name, tensor)
    if keras.backend.is_float_dtype(tensor.dtype) or tensor.dtype == "bool":
        return _number(trunk, name, tensor)
    raise ValueError(
        f"{owner}: input '{name}' of dtype {tensor.dtype} holds categories, so it needs an entry in "
        f"categories: the number of categories or their names, such as categories={{'{name}': 10}}. "
        f"If it holds amounts, make it a float input.{remedy}"
    )


def _number(trunk: Any, name: str, tensor: Tensor) -> Any:
    x = _column_of(tensor, name)
    if tensor.dtype == "bool":
        x = keras.layers.Rescaling(1.0, name=f"{name}_number")(x)
    mean, scale = (trunk.mean or {}).get(name, 0.0), (trunk.scale or {}).get(name, 1.0)
    for field, value in (("mean", mean), ("scale", scale)):
        if isinstance(value, tuple) and len(value) != x.shape[-1]:
            raise ValueError(
                f"{type(trunk).__name__}: {field} of input '{name}' needs one number or {x.shape[-1]}; "
                f"received {len(value)}."
            )
    if name not in (trunk.mean or {}) and name not in (trunk.scale or {}):
        return x
    count = x.shape[-1]
    return keras.layers.Normalization(
        mean=_numbers(mean, count),
        variance=[s**2 for s in _numbers(scale, count)],
        name=f"{name}_standardized",
    )(x)


def _embedded(trunk: Any, name: str, tensor: Tensor) -> Any:
    known = trunk.categories[name]
    size = known if isinstance(known, int) else len(known)
    index = _lookup if tensor.dtype == "string" else _codes
    units = trunk.embedding_units or min(_LARGEST_EMBEDDING, (size + 1) // 2)
    indices = _column_of(index(type(trunk).__name__, name, known, tensor), name)
    x = keras.layers.Embedding(size + 1, units, name=f"{name}_embedding")(indices)
    return keras.layers.Flatten(name=f"{name}_flat")(x)


def _codes(owner: str, name: str, known: Any, tensor: Tensor) -> Any:
    if keras.backend.is_float_dtype(tensor.dtype):
        raise ValueError(
            f"{owner}: input '{name}' is in categories, so it must have a whole-number or string dtype; "
            f"received {tensor.dtype}."
        )
    size = known if isinstance(known, int) else len(known)
    return CategoryIndex(size, name=f"{name}_index")(tensor)


def _lookup(owner: str, name: str, known: Any, tensor: Tensor) -> Any:
    if isinstance(known, int):
        raise ValueError(
            f"{owner}: the string input '{name}' needs its categories' names, not their number ({known})."
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"{owner}: the input '{name}' holds strings, which only the TensorFlow backend can look up "
            f"inside a model. Make it a whole-number input of positions in categories['{name}']."
        )
    return keras.layers.StringLookup(vocabulary=list(known), name=f"{name}_index")(tensor)


def _column_of(tensor: Tensor, name: str) -> Any:
    return tensor if len(tensor.shape) == 2 else keras.layers.Reshape((1,), name=f"{name}_column")(tensor)


def _numbers(value: Any, count: int = 1) -> list[float]:
    return [float(v) for v in value] if isinstance(value, tuple) else [float(value)] * count


def _check_categories(owner: str, name: str, known: Any) -> None:
    if isinstance(known, int) and not isinstance(known, bool) and known >= 1:
        return
    if not isinstance(known, tuple) or not known or not all(isinstance(k, str) for k in known):
        raise ValueError(
            f"{owner}: categories of input '{name}' must be their number or a tuple of their names; "
            f"received {known!r}."
        )
    if len(set(known)) != len(known):
        raise ValueError(f"{owner}: categories of input '{name}' must be distinct; received {known!r}.")
