"""How gates and stitches share out what tasks get."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import Call
from mtlkeras._types import Inputs


def gates(model: keras.Model, x: Inputs) -> dict[str, np.ndarray]:
    """Returns the weights by which the gates and stitches of a model's trunk mix.

    Args:
        model: A `MultiTaskModel`, or a shared model of one.
        x: One batch of inputs.

    Returns:
        By the layer's name what its `gate_values` gives: of a gate, such as `<task>_gate` of `MMoE`, the
        weight of each expert for each example, shape `(batch, experts)`; of what weighs all examples alike,
        such as a cross-stitch unit, its matrix as it is.

    Raises:
        ValueError: If there is neither.

    Example:

    ```python
    heads = {"y": mtlkeras.heads.Regression()}
    scheme = mtlkeras.sharing.MMoE(experts=3)
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), heads, sharing=scheme)
    mtlkeras.analysis.gates(model, np.ones((2, 8)))["y_gate"].shape  # (2, 3)
    ```
    """
    trunk = getattr(model, "trunk", model)
    layers = [layer for layer in trunk.layers if hasattr(layer, "gate_values")]
    if not layers:
        raise ValueError(
            f"The model '{model.name}' has neither gates nor stitches. Sharing schemes with them: "
            "MMoE, PLE, CrossStitch and Sluice."
        )
    seen = keras.Model(trunk.input, {layer.name: _arguments(layer) for layer in layers})(x, training=False)
    values = {}
    for layer in layers:
        given, named = seen[layer.name]
        values[layer.name] = np.asarray(keras.ops.convert_to_numpy(layer.gate_values(*given, **named)))
    return values


def _arguments(layer: Any) -> tuple[list[Any], dict[str, Any]]:
    """Returns the tensors that a layer was called with, by place and by name."""
    given, named = Call(layer, 0).arguments
    return list(given), {name: x for name, x in named.items() if isinstance(x, keras.KerasTensor)}
