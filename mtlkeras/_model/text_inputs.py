"""Strings as a model's inputs: texts, and tokens that come split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import all_layers


def text_encoder(model: Any) -> Any:
    """Returns the `TextEncoder` inside a model, or `None`."""
    layers = all_layers(model, include_self=False)
    return next((layer.encoder for layer in layers if hasattr(layer, "encoder")), None)


def takes_tokens(model: Any) -> bool:
    """Whether the model's one input is tokens as strings, of shape `(batch, time)`."""
    inputs = keras.tree.flatten(model.input)
    return len(inputs) == 1 and inputs[0].dtype == "string" and len(inputs[0].shape) == 2


def text_inputs(model: Any, x: Any) -> Any:
    """Returns inputs with lists and arrays of strings as the tensors that the model takes.

    An input of texts takes a sequence of strings. An input of tokens takes a sequence of lists of
    tokens, which are padded with `""`, or of texts, which the model's encoder splits. Everything
    else is passed on.

    Args:
        model: The model.
        x: Its inputs, in any form that Keras takes.

    Raises:
        ValueError: If lists of tokens are given for an input of texts.
    """
    wanted = model.input
    if isinstance(wanted, Mapping) and isinstance(x, Mapping):
        return {
            key: _converted(model, value, wanted[key]) if key in wanted else value for key, value in x.items()
        }
    flat = keras.tree.flatten(wanted)
    return _converted(model, x, flat[0]) if len(flat) == 1 else x


def _converted(model: Any, x: Any, wanted: Any) -> Any:
    if wanted.dtype != "string" or not _are_strings(x):
        return x
    from mtlkeras._backends.tensorflow.strings import string_tensor

    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in x]
    if len(wanted.shape) == 1:
        if any(isinstance(row, (list, tuple)) for row in rows):
            raise ValueError(
                f"Input '{wanted.name}' takes whole texts; received lists of tokens. Build the model with "
                f"keras.Input((None,), dtype='string') for tokens."
            )
        return string_tensor(rows)
    if len(wanted.shape) != 2 or getattr(x, "ndim", 2) > 2:
        return x
    encoder = text_encoder(model)
    split = [
        encoder.tokens(row) if encoder is not None and isinstance(row, (str, bytes)) else row for row in rows
    ]
    if any(isinstance(row, (str, bytes)) for row in split):
        return x  # A column of words for another layer to look up.
    longest = max((len(row) for row in split), default=0)
    return string_tensor([[*row, *[""] * (longest - len(row))] for row in split], longest)


def _are_strings(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "OSU"
    if not isinstance(x, (list, tuple)) or not x:
        return False
    first = x[0]
    while isinstance(first, (list, tuple, np.ndarray)) and len(first):
        first = first[0]
    return isinstance(first, (str, bytes)) or isinstance(first, (list, tuple))
