"""The base of all sharing schemes."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from mtlkeras.features import KINDS, Features
from mtlkeras.heads import Head
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.specs import Spec
from mtlkeras.trunks.base import Trunk

TRUNK = "trunk"
"""Name of the shared model within a `MultiTaskModel`."""


class Shared(NamedTuple):
    """What a sharing scheme builds.

    Args:
        features: What each task reads, by task.
        trunk: The part of the model that tasks share, made by `Sharing.model`; `None` if they share none.
    """

    features: dict[str, Features]
    trunk: keras.Model | None


class Sharing(Spec, abc.ABC):
    """Decides which features of the trunk each task gets.

    Called with the trunk, the model's inputs and the heads by task, it builds the shared
    part of the graph and returns `Shared`.
    """

    @abc.abstractmethod
    def __call__(self, trunk: Any, inputs: Any, heads: Mapping[str, Head]) -> Shared:
        """Builds the shared graph.

        Args:
            trunk: A `mtlkeras.trunks.Trunk`, or a functional `keras.Model`.
            inputs: The model's `keras.Input`, or a dict of them.
            heads: The heads by task; each asks for a kind of feature, perhaps at a tap.
        """

    def model(self, inputs: Any, outputs: Any) -> keras.Model:
        """Returns the shared part as a model, under the name by which `MultiTaskModel.trunk` finds it."""
        return keras.Model(inputs, outputs, name=TRUNK)


def as_inner(inputs: Any) -> Any:
    """Returns inputs of a nested model that is going to be called with `inputs`."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), inputs
    )


def open_trunk(trunk: Any, inputs: Any) -> tuple[Any, Features]:
    """Returns the trunk's own inputs and its features on them.

    Args:
        trunk: A spec, whose layers are made anew, or a functional `keras.Model`, whose
            layers are used as they are; each of its inner layers is then a tap.
        inputs: The inputs that the trunk is going to be called with.
    """
    if isinstance(trunk, Trunk):
        inner = as_inner(inputs)
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


def key_of(head: Head) -> str:
    """Returns the name of what a head reads among the outputs of a trunk."""
    return head.kind if head.at is None else f"{head.at}_{head.kind}"


def read_by(heads: Mapping[str, Head], features: Features) -> dict[str, Any]:
    """Returns what heads read of a trunk's features, by key, and its mask where one reads a sequence."""
    outputs: dict[str, Any] = {}
    for task, head in heads.items():
        if key_of(head) not in outputs:
            asked_by = f"{type(head).__name__} of task '{task}'"
            outputs[key_of(head)] = features.get(head.kind, head.at, asked_by=asked_by)
    if features.mask is not None and any(head.kind == "sequence" for head in heads.values()):
        outputs["mask"] = features.mask
    return outputs


def with_spec(trunk: Any, outputs: Any, sharing: Sharing | None = None) -> Any:
    """Returns outputs that carry the trunk's spec, if it has one, and that of the scheme."""
    if not isinstance(trunk, Trunk):
        return outputs
    return TrunkOutput(trunk, sharing=sharing, name="features")(outputs)


def features_for(head: Head, tensor: Any, mask: Any) -> Features:
    """Returns the features of a task whose head reads one tensor."""
    mask = mask if head.kind == "sequence" else None
    if head.at is None:
        return Features(**{head.kind: tensor}, mask=mask)
    return Features(taps={head.at: tensor}, mask=mask)
