"""Functional models as trunks: what they offer as features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._types import Tensor
from mtlkeras.features import KINDS, Features


def as_functional(model: Any, owner: str = "trunk") -> Any:
    """Returns a model whose graph is known; of a `Sequential`, one with its layers.

    Args:
        model: A functional `keras.Model`, or a `Sequential` that knows its input.
        owner: Who asks, for the error message.

    Raises:
        ValueError: If its outputs are not known before it runs.
    """
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if isinstance(model, keras.Sequential) or not hasattr(model, "output"):
        raise ValueError(
            f"{owner}: the model '{model.name}' ({type(model).__name__}) is not functional, so its outputs "
            f"are not known before it runs. Make it with keras.Model(inputs, outputs)."
        )
    return model


def features_of(outputs: Tensor, inputs: list[Any], taps: Mapping[str, Any], source: Any) -> Features:
    """Returns the features that a functional model offers, by the rank of its output or its outputs' names.

    Args:
        outputs: Its symbolic output, or a dict of them.
        inputs: Its inputs, among which may be the mask of a text, under KerasHub's name.
        taps: Its inner tensors.
        source: What names the model in errors.
    """
    if isinstance(outputs, dict):
        kinds = {kind: outputs[kind] for kind in (*KINDS, "mask") if kind in outputs}
        kinds = {**_features_of_backbone(outputs, inputs), **kinds}
        return Features(**kinds, taps=taps, source=source)
    vector: Any = outputs
    kind = {2: "vector", 3: "sequence", 4: "map"}[len(outputs.shape)]
    if kind == "map":
        vector = keras.layers.GlobalAveragePooling2D(name="global_pool")(outputs)
    if kind == "sequence":
        vector = keras.layers.GlobalAveragePooling1D(name="global_pool")(outputs)
    found: dict[str, Any] = {kind: outputs, "vector": vector}
    return Features(**found, taps=taps, source=source)


def _features_of_backbone(outputs: Mapping[str, Any], inputs: list[Any]) -> dict[str, Any]:
    """Returns the features of a text backbone of KerasHub, by the names that it gives its outputs."""
    names = {"pooled_output": "vector", "sequence_output": "sequence"}
    found = {kind: outputs[name] for name, kind in names.items() if name in outputs}
    padding = next((x for x in inputs if x.name == "padding_mask"), None)
    if "sequence" in found and padding is not None:
        found["mask"] = keras.ops.cast(padding, "bool")
    return found
