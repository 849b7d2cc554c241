"""What a trunk with attention looks at."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import Call
from mtlkeras._types import Inputs


def attention_weights(model: keras.Model, x: Inputs) -> dict[str, np.ndarray]:
    """Returns the attention weights of every attention layer of a model's trunk, or of its experts.

    Args:
        model: A `MultiTaskModel`, or a functional `keras.Model`.
        x: One batch of inputs.

    Returns:
        By the layer's name, `expert_1/...` within a mixture of experts: of an `AttentionPooling` layer the
        weights of the steps, shape `(batch, time)`; of a `SelfAttention` layer how much each step looks at
        each other, shape `(batch, heads, from, to)`.

    Raises:
        ValueError: If there is no such layer.

    Example:

    ```python
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"),
        mtlkeras.trunks.CNNAttention(width=8, depth=1, vocabulary_size=20),
        {"y": mtlkeras.heads.Classification(2)},
    )
    weights = mtlkeras.analysis.attention_weights(model, np.array([[3, 4, 5, 0]]))
    weights["attention_pool"].shape  # (1, 4)
    weights["attention_1"].shape     # (1, 4, 4, 4)
    ```
    """
    found = _with_attention(getattr(model, "trunk", model))
    if not found:
        raise ValueError(
            f"The model '{model.name}' has no attention layer in its trunk. Trunks with attention: "
            "CNNAttention, and LSTM and BiLSTM with pooling='attention'."
        )
    weights = {}
    for prefix, (part, layers) in found.items():
        inputs = {layer.name: _arguments(layer) for layer in layers}
        values = keras.Model(part.input, inputs)(x, training=False)
        for layer in layers:
            found_here = layer.attention_weights(*values[layer.name])
            weights[f"{prefix}{layer.name}"] = keras.ops.convert_to_numpy(found_here)
    return weights


def _with_attention(model: keras.Model, prefix: str = "") -> dict[str, tuple[Any, list[Any]]]:
    """Returns by prefix the models on the same inputs that have attention layers, and these layers."""
    layers = [layer for layer in model.layers if hasattr(layer, "attention_weights")]
    found = {prefix: (model, layers)} if layers else {}
    shapes = [x.shape for x in keras.tree.flatten(model.input)]
    for layer in model.layers:
        if isinstance(layer, keras.Model) and [x.shape for x in keras.tree.flatten(layer.input)] == shapes:
            found.update(_with_attention(layer, f"{prefix}{layer.name}/"))
    return found


def _arguments(layer: Any) -> list[Any]:
    """Returns the tensors that a layer was called with: its input, and its mask."""
    given, named = Call(layer, 0).arguments
    mask = named.get("mask")
    return [given[0], *([] if mask is None else [mask])]
