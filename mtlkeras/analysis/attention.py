"""What a trunk with attention looks at."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def attention_weights(model: Any, x: Any) -> dict[str, np.ndarray]:
    """Returns the attention weights of every attention layer of a model's trunk.

    Args:
        model: A `MultiTaskModel`, or a functional `keras.Model`.
        x: One batch of inputs.

    Returns:
        By the layer's name: of an `AttentionPooling` layer the weights of the steps, shape
        `(batch, time)`; of a `SelfAttention` layer how much each step looks at each other, shape
        `(batch, heads, from, to)`.

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
    trunk = getattr(model, "trunk", model)
    layers = {layer.name: layer for layer in trunk.layers if hasattr(layer, "attention_weights")}
    if not layers:
        raise ValueError(
            f"The model '{model.name}' has no attention layer in its trunk. Trunks with attention: "
            "CNNAttention, and LSTM and BiLSTM with pooling='attention'."
        )
    inputs = {name: _arguments(layer) for name, layer in layers.items()}
    values = keras.Model(trunk.input, inputs)(x, training=False)
    return {
        name: keras.ops.convert_to_numpy(layer.attention_weights(*values[name]))
        for name, layer in layers.items()
    }


def _arguments(layer: Any) -> list[Any]:
    """Returns the tensors that a layer was called with: its input, and its mask."""
    arguments = layer._inbound_nodes[0].arguments
    mask = arguments.kwargs.get("mask")
    return [arguments.args[0], *([] if mask is None else [mask])]
