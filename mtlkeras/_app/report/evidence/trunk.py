"""What a trunk looks at, and the weights between tags of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._app.report.evidence.run import Attention
from mtlkeras.analysis import attention_weights
from mtlkeras.analysis.attention import may_attend
from mtlkeras.layers import CRF, HMM

_EXAMPLES = 3
_STEPS = 18


def attention_of(model: Any, x: Any) -> list[Attention]:
    """Returns what the attention layers of a trunk look at in some examples; nothing if it has none.

    Args:
        model: A `MultiTaskModel`.
        x: Inputs.
    """
    if not may_attend(getattr(model, "trunk", None) or model):
        return []
    few = keras.tree.map_structure(lambda array: array[:_EXAMPLES], x)
    found = []
    for layer, values in attention_weights(model, few).items():
        if values.ndim == 2:
            found.append(Attention(layer, values[:, :_STEPS], _tokens(few, values.shape[1])))
        elif values.ndim == 4:
            tokens = _tokens(few, values.shape[-1])[:1]
            size = max(1, len(tokens[0]))
            found.append(Attention(layer, values[0].mean(axis=0)[:size, :size], tokens))
    return found


def _tokens(x: Any, steps: int) -> list[list[str]]:
    """Returns the steps of examples: words where the inputs are words, else numbers of steps."""
    for array in keras.tree.flatten(x):
        if array.ndim == 2 and array.shape[1] == steps and array.dtype.kind in "OSU":
            return [[text_of(v) for v in row if text_of(v)][:_STEPS] for row in array]
    return [[str(i + 1) for i in range(min(steps, _STEPS))] for _ in range(len(keras.tree.flatten(x)[0]))]


def text_of(value: Any) -> str:
    """Returns a string of an array as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def transitions_of(model: Any, task: str) -> tuple[Sequence[str], np.ndarray] | None:
    """Returns names of tags and the weights from one to the next of a task's chain, if it has one.

    Args:
        model: A `MultiTaskModel`.
        task: The task.

    Returns:
        Of a CRF its scores, of an HMM probabilities; shape `(from, to)`.
    """
    head = model.heads[task]
    for layer in _inner(model.output_layers[task]):
        if isinstance(layer, CRF):
            values = keras.ops.convert_to_numpy(layer.transitions)
        elif isinstance(layer, HMM):
            values = layer.probabilities()["transitions"]
        else:
            continue
        names = head.names if head.names is not None and len(head.names) == len(values) else None
        return [str(n) for n in (names if names is not None else range(len(values)))], np.asarray(values)
    return None


def _inner(layer: Any) -> list[Any]:
    return [layer, *(inner for inner in vars(layer).values() if isinstance(inner, keras.layers.Layer))]
