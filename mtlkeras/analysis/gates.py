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
        By the layer's name: of a gate, such as `<task>_gate` of `MMoE`, the weight of each expert for each
        example, shape `(batch, experts)`; of what weighs all examples alike, such as a cross-stitch unit, its
        matrix as it is, shape `(to, from)`.

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
    found = {**by_example(trunk, x), **stitches(trunk)}
    if not found:
        raise ValueError(
            f"The model '{model.name}' has neither gates nor stitches. Sharing schemes with gates: "
            "MMoE and PLE."
        )
    return {layer.name: found[layer.name] for layer in trunk.layers if layer.name in found}


def by_example(trunk: Any, x: Inputs) -> dict[str, np.ndarray]:
    """Returns what the layers of a shared model with `gate_values` give for inputs, by name."""
    layers = {layer.name: layer for layer in trunk.layers if hasattr(layer, "gate_values")}
    if not layers:
        return {}
    seen = keras.Model(trunk.input, {name: Call(layer, 0).inputs for name, layer in layers.items()})
    given = seen(x, training=False)
    return {name: _numbers(layer.gate_values(*given[name])) for name, layer in layers.items()}


def stitches(trunk: Any) -> dict[str, np.ndarray]:
    """Returns what the layers of a shared model with `stitch_values` give, by name."""
    layers = [layer for layer in trunk.layers if hasattr(layer, "stitch_values")]
    return {layer.name: _numbers(layer.stitch_values()) for layer in layers}


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values))
