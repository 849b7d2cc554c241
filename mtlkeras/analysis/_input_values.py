"""What a model is given, by the names of its inputs, and what stands for nothing in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import near_match, unknown_name
from mtlkeras._keras_private import functional_within, has_graph, nodes_of, ready_inputs
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras._types import Inputs
from mtlkeras.analysis._examples import count_of, input_arrays
from mtlkeras.layers.preprocessing import CategoryIndex

Values = dict[str, np.ndarray]
"""Arrays of one number of examples by the name of the input."""

LOOKUPS = (CategoryIndex, keras.layers.StringLookup, keras.layers.IntegerLookup, keras.layers.Hashing)
"""Layers that make indices of categories."""

_NAMED_BY_KERAS = r"keras_tensor(_\d+)?"

_PASSING = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.InputLayer)


def input_names(model: Any) -> list[str]:
    """Returns the names of a model's inputs, in the order of its flat inputs: keys, where it takes a dict.

    An only input without a name is `"input"`.
    """
    if isinstance(model.input, Mapping):
        return sorted(model.input)
    names = [tensor.name for tensor in keras.tree.flatten(model.input)]
    if len(names) == 1 and re.fullmatch(_NAMED_BY_KERAS, names[0]):
        return ["input"]
    return names


def input_values(model: Any, x: Inputs, asked_by: str) -> Values:
    """Returns a model's inputs as arrays by name, of the inputs' own ranks; strings as objects.

    Raises:
        ValueError: If they are no arrays, of no example, or do not fit the model.
    """
    flat = keras.tree.flatten(model.input)
    arrays = input_arrays(model, model_inputs(model, x), asked_by)
    if not count_of(arrays):
        raise ValueError(f"{asked_by}: there are no examples.")
    found = _by_name(model, arrays, asked_by)
    return {
        name: _fitted(name, np.asarray(found[name]), tensor, asked_by)
        for name, tensor in zip(input_names(model), flat, strict=True)
    }


def _by_name(model: Any, arrays: Any, asked_by: str) -> dict[str, Any]:
    names = input_names(model)
    if isinstance(arrays, Mapping):
        missing = next((name for name in names if name not in arrays), None)
        if missing is not None:
            raise ValueError(
                f"{asked_by}: the model's input '{missing}' is not among those given: "
                f"{', '.join(map(repr, arrays))}.{near_match(missing, arrays)}"
            )
        return dict(arrays)
    flat = arrays if isinstance(arrays, list) else [arrays]
    if len(flat) != len(names):
        raise ValueError(f"{asked_by}: the model has {len(names)} inputs; received {len(flat)}.")
    return dict(zip(names, flat, strict=True))


def _fitted(name: str, array: np.ndarray, tensor: Any, asked_by: str) -> np.ndarray:
    shape = tuple(tensor.shape)
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., None]
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    fits = array.ndim == len(shape) and all(
        size in (None, own) for size, own in zip(shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        expected = ", ".join(["examples", *map(str, shape[1:])])
        raise ValueError(
            f"{asked_by}: input '{name}' has the shape {array.shape}; the model takes ({expected})."
        )
    if tensor.dtype == "string":
        return array.astype(object)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{asked_by}: input '{name}' takes {tensor.dtype}; received {array.dtype}.")
    return _cast(array, _numpy_dtype(tensor), f"{asked_by}: input '{name}'")


def _numpy_dtype(tensor: Any) -> str:
    """Returns what a model's input is kept as here: float32 for all floats, as NumPy has no bfloat16."""
    return "float32" if keras.backend.is_float_dtype(tensor.dtype) else tensor.dtype


def _cast(array: np.ndarray, dtype: Any, where: str) -> np.ndarray:
    """Returns numbers in another type.

    Raises:
        ValueError: If whole numbers are wanted, and they are others.
    """
    if np.dtype(dtype).kind == "f":
        return array.astype(dtype)
    fits = np.isfinite(array).all()
    found = np.where(np.isfinite(array), array, 0).astype(dtype)
    if not fits or not np.array_equal(found, array):
        raise ValueError(f"{where} takes {np.dtype(dtype)}, and is given numbers that it cannot hold.")
    return found


def ready(model: Any, values: Mapping[str, np.ndarray]) -> list[Any]:
    """Returns values as the tensors that a model's graph takes, flat."""
    arrays = keras.tree.pack_sequence_as(model.input, [values[name] for name in input_names(model)])
    return ready_inputs(model, model_inputs(model, keras.tree.map_structure(_tensor, arrays)), None)


def _tensor(array: np.ndarray) -> Any:
    if array.dtype != object:
        return array
    from mtlkeras._backends.tensorflow.strings import string_tensor

    return string_tensor(array.tolist())


def repeated(values: Mapping[str, np.ndarray], times: int) -> Values:
    """Returns all examples so many times, one after the other."""
    return {name: np.concatenate([array] * times) for name, array in values.items()}


def categories_of(model: Any) -> set[str]:
    """Returns the names of a model's inputs that are looked up as categories."""
    tensors = zip(input_names(model), keras.tree.flatten(model.input), strict=True)
    return {name for name, x in tensors if any(isinstance(f, LOOKUPS) for f in _first_layers(model, x))}


def default_baseline(model: Any, values: Mapping[str, np.ndarray]) -> Values:
    """Returns what stands for nothing in each input, in the shape of the values.

    Numbers are those that the model's own normalisation takes for the mean, else 0; categories are ones that
    it does not know; words stay, as it is in their embeddings that they are taken away.
    """
    tensors = dict(zip(input_names(model), keras.tree.flatten(model.input), strict=True))
    categories, found = categories_of(model), {}
    for name, array in values.items():
        if array.dtype.kind == "f":
            found[name] = np.where(np.isnan(array), array, _mean(model, tensors[name])).astype("float32")
        elif name in categories:
            found[name] = np.full_like(array, _unknown(array.dtype))
        elif len(tensors[name].shape) == 4 or array.dtype.kind == "b":
            found[name] = np.zeros_like(array)
        else:
            found[name] = array
    return found


def _unknown(dtype: np.dtype) -> Any:
    if dtype.kind == "O":
        return "\x00"
    return -1 if dtype.kind == "i" else np.iinfo(dtype).max


def _mean(model: Any, tensor: Any) -> Any:
    """Returns the mean that a model subtracts from an input before all else; 0 where there is none."""
    for layer in _first_layers(model, tensor):
        if isinstance(layer, keras.layers.Normalization) and layer.mean is not None:
            return np.asarray(keras.ops.convert_to_numpy(layer.mean)).reshape(-1)
    return 0.0


def _first_layers(model: Any, tensor: Any) -> Iterator[Any]:
    """Yields the layers that read an input first, in models within too."""
    for node in nodes_of(model):
        for place, given in enumerate(node.input_tensors):
            operation = functional_within(node.operation)
            if given is not tensor:
                continue
            if has_graph(operation):
                yield from _first_layers(operation, keras.tree.flatten(operation.input)[place])
            elif isinstance(operation, _PASSING):
                yield from _first_layers(model, node.outputs[0])
            else:
                yield operation


def with_baseline(default: Values, given: Any, asked_by: str) -> tuple[Values, set[str]]:
    """Returns baselines with those that a caller gave, and the names of their inputs.

    Args:
        default: What stands for nothing by default, by input.
        given: A number for all inputs of numbers; for an only input an array that broadcasts to it; or a dict
            of such by name. `None` for the default.
        asked_by: What to name in messages.

    Raises:
        ValueError: If an input is unknown or a baseline does not fit it.
    """
    if given is None:
        return default, set()
    if isinstance(given, Mapping):
        chosen = dict(given)
    elif np.ndim(given) == 0 and not isinstance(given, str):
        chosen = {name: given for name, array in default.items() if array.dtype.kind in "uf"}
    elif len(default) == 1:
        chosen = {next(iter(default)): given}
    else:
        raise ValueError(f"{asked_by}: baseline= of a model with several inputs is a dict by input.")
    for name in chosen:
        if name not in default:
            raise unknown_name("input", name, default, f"baseline= of {asked_by}")
    own = {name: _broadcast(name, value, default[name], asked_by) for name, value in chosen.items()}
    return {**default, **own}, set(own)


def _broadcast(name: str, value: Any, like: np.ndarray, asked_by: str) -> np.ndarray:
    array = np.asarray(value)
    if like.dtype != object and array.dtype.kind not in "buif":
        raise ValueError(f"{asked_by}: baseline= of input '{name}' must be numbers; received {array.dtype}.")
    try:
        found = np.broadcast_to(array, like.shape)
    except ValueError:
        raise ValueError(
            f"{asked_by}: baseline= of input '{name}' has the shape {array.shape}, which does not go with "
            f"{like.shape}."
        ) from None
    if like.dtype == object:
        return found.astype(object)
    return _cast(found, like.dtype, f"{asked_by}: baseline= of input '{name}'")
