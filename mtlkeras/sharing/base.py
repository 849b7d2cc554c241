"""The base of all sharing schemes."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from mtlkeras._types import NamedTensors, Tensor
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
    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
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


Reading = tuple[str | None, str]
"""What a head reads: a tap, `None` for the trunk's end, and the kind of its features."""


def name_of(reading: Reading) -> str:
    """Returns the name that something read has among the outputs of a trunk."""
    at, kind = reading
    return kind if at is None else f"{at}_{kind}"


def read_by(heads: Mapping[str, Head], features: Features) -> tuple[dict[str, Any], dict[str, list[Reading]]]:
    """Returns what heads read of a trunk's features by name, and the readings of each task.

    Where one reads a sequence its mask is among the tensors, as `"mask"`.
    """
    outputs: dict[str, Any] = {}
    readings = {}
    for task, head in heads.items():
        found = head.reads(features, task)
        readings[task] = list(found)
        outputs.update({name_of(r): tensor for r, tensor in found.items() if name_of(r) not in outputs})
    if features.mask is not None and any(kind == "sequence" for r in readings.values() for _, kind in r):
        outputs["mask"] = features.mask
    return outputs, readings


def with_spec(trunk: Any, outputs: Any, sharing: Sharing | None = None) -> Any:
    """Returns outputs that carry the trunk's spec, if it has one, and that of the scheme."""
    if not isinstance(trunk, Trunk):
        return outputs
    return TrunkOutput(trunk, sharing=sharing, name="features")(outputs)


def as_features(tensors: Mapping[Reading, Any], mask: Any = None) -> Features:
    """Returns the features of a task that reads some tensors.

    Args:
        tensors: The tensors by reading.
        mask: Of the sequences among them, if any.
    """
    ends = {kind: tensor for (at, kind), tensor in tensors.items() if at is None}
    taps = {at: tensor for (at, _), tensor in tensors.items() if at is not None}
    return Features(**ends, taps=taps, mask=mask if any(kind == "sequence" for _, kind in tensors) else None)
