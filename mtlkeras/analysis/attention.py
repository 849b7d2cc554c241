"""What a trunk with attention looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import ordered_nodes
from mtlkeras._types import Inputs


def attention_weights(model: keras.Model, x: Inputs) -> dict[str, np.ndarray]:
    """Returns the attention weights of every attention layer of a model's trunk, or of its experts.

    Args:
        model: A `MultiTaskModel`, or a functional `keras.Model`.
        x: One batch of inputs.

    Returns:
        By the layer's name, `expert_1/...` within a mixture of experts, `<task>_end/...` within the end of
        a task's own trunk, and `.2` after a part that is called for a second time: of an
        `AttentionPooling` layer the weights of the steps, shape `(batch, time)`; of a `SelfAttention` layer
        how much each step looks at each other, shape `(batch, heads, from, to)`.

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
    calls = list(_attention_calls(getattr(model, "trunk", model), x))
    if not calls:
        raise ValueError(
            f"The model '{model.name}' has no attention layer in its trunk. Trunks with attention: "
            "CNNAttention, and LSTM and BiLSTM with pooling='attention'."
        )
    return {name: keras.ops.convert_to_numpy(layer.attention_weights(*given)) for name, layer, given in calls}


def _attention_calls(model: keras.Model, x: Any, prefix: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Yields name, layer and arguments of the calls of attention layers, also within models in the model."""
    nodes = [node for node in ordered_nodes(model) if may_attend(node.operation)]
    if not nodes:
        return
    values = keras.Model(model.input, {str(i): _arguments(node) for i, node in enumerate(nodes)})(
        x, training=False
    )
    counts: Counter[str] = Counter()
    for number, node in enumerate(nodes):
        layer, given = node.operation, values[str(number)]
        counts[layer.name] += 1
        again = f".{counts[layer.name]}" if counts[layer.name] > 1 else ""
        name = f"{prefix}{layer.name}{again}"
        if isinstance(layer, keras.Model):
            bare = keras.tree.map_structure(keras.ops.convert_to_numpy, given[0])  # Without Keras' masks.
            yield from _attention_calls(layer, bare, f"{name}/")
        else:
            yield name, layer, given


def may_attend(layer: Any) -> bool:
    """Returns whether a layer has attention weights, or a model such a layer."""
    if isinstance(layer, keras.Model):
        return any(may_attend(inner) for inner in layer.layers)
    return hasattr(layer, "attention_weights")


def _arguments(node: Any) -> list[Any]:
    """Returns the tensors that a layer was called with: its input, and its mask."""
    given, mask = node.arguments.args, node.arguments.kwargs.get("mask")
    with_mask = isinstance(mask, keras.KerasTensor)  # Of models, a list of nothing.
    return [given[0], *([mask] if with_mask else [])]
