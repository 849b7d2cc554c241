"""Hard sharing: one trunk for all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras.features import KINDS, Features
from mtlkeras.heads import Head
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.sharing.base import Sharing
from mtlkeras.specs import spec
from mtlkeras.trunks.base import Trunk

TRUNK, FORK = "trunk", "gradient_fork"


@spec
class HardSharing(Sharing):
    """All tasks read the same trunk (Caruana 1997, Multitask Learning).

    The trunk becomes one functional `keras.Model` named `"trunk"` whose outputs are what
    the heads ask for: a tensor where they all ask for the same, else a dict. A
    `mtlkeras.layers.GradientFork` hands them to the heads.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(),
        heads={"y": mtlkeras.heads.Regression()},
        sharing=mtlkeras.sharing.HardSharing(),
    )
    ```
    """

    def __call__(self, trunk: Any, inputs: Any, heads: Mapping[str, Head]) -> dict[str, Features]:
        inner, features = open_trunk(trunk, inputs)
        outputs = {}
        for task, head in heads.items():
            key = _key(head)
            if key not in outputs:
                asked_by = f"{type(head).__name__} of task '{task}'"
                outputs[key] = features.get(head.kind, head.at, asked_by=asked_by)
        if features.mask is not None and any(head.kind == "sequence" for head in heads.values()):
            outputs["mask"] = features.mask
        if isinstance(trunk, Trunk):
            outputs = TrunkOutput(trunk, name="features")(outputs)
        single = len(outputs) == 1
        body = keras.Model(inner, next(iter(outputs.values())) if single else outputs, name=TRUNK)
        shared = body(inputs)
        shared = {next(iter(outputs)): shared} if single else dict(shared)
        mask = shared.pop("mask", None)
        forked = GradientFork({task: _key(head) for task, head in heads.items()}, name=FORK)(shared)
        return {task: _features(head, forked[task], mask) for task, head in heads.items()}


def open_trunk(trunk: Any, inputs: Any) -> tuple[Any, Features]:
    """Returns the trunk's own inputs and its features on them.

    Args:
        trunk: A spec, whose layers are made anew, or a functional `keras.Model`, whose
            layers are used as they are; each of its inner layers is then a tap.
        inputs: The inputs that the trunk is going to be called with.
    """
    if isinstance(trunk, Trunk):
        inner = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), inputs
        )
        return inner, trunk(inner)
    if isinstance(trunk, keras.Sequential):
        if not trunk.built:
            trunk.build(keras.tree.flatten(inputs)[0].shape)
        trunk = keras.Model(trunk.inputs[0], trunk.outputs[0], name=trunk.name)
    if not hasattr(trunk, "output"):
        raise ValueError(
            f"trunk: the model '{trunk.name}' ({type(trunk).__name__}) is not functional, so its outputs are "
            f"not known before it runs. Make it with keras.Model(inputs, outputs)."
        )
    return trunk.input, features_of_model(trunk)


def features_of_model(model: Any) -> Features:
    """Returns the features of a functional model, by the rank of its output."""
    outputs = model.output
    if isinstance(outputs, dict):
        kinds = {kind: outputs[kind] for kind in (*KINDS, "mask") if kind in outputs}
        kinds = {**_features_of_backbone(model), **kinds}
        return Features(**kinds, taps=_taps(model), source=f"the model '{model.name}'")
    vector, kind = outputs, {2: "vector", 3: "sequence", 4: "map"}[len(outputs.shape)]
    if kind == "map":
        vector = keras.layers.GlobalAveragePooling2D(name="global_pool")(outputs)
    if kind == "sequence":
        vector = keras.layers.GlobalAveragePooling1D(name="global_pool")(outputs)
    return Features(
        **{kind: outputs, "vector": vector}, taps=_taps(model), source=f"the model '{model.name}'"
    )


def _features_of_backbone(model: Any) -> dict[str, Any]:
    """Returns the features of a text backbone of KerasHub, by the names that it gives its outputs."""
    names = {"pooled_output": "vector", "sequence_output": "sequence"}
    found = {kind: model.output[name] for name, kind in names.items() if name in model.output}
    padding = next((x for x in model.inputs if x.name == "padding_mask"), None)
    if "sequence" in found and padding is not None:
        found["mask"] = keras.ops.cast(padding, "bool")
    return found


def _taps(model: Any) -> dict[str, Any]:
    single = (layer for layer in model.layers if isinstance(layer.output, keras.KerasTensor))
    return {layer.name: layer.output for layer in single}


def _key(head: Head) -> str:
    return head.kind if head.at is None else f"{head.at}_{head.kind}"


def _features(head: Head, tensor: Any, mask: Any) -> Features:
    """Returns what one head asked for."""
    mask = mask if head.kind == "sequence" else None
    if head.at is None:
        return Features(**{head.kind: tensor}, mask=mask)
    return Features(taps={head.at: tensor}, mask=mask)
