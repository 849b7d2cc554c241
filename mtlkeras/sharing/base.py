"""The base of all sharing schemes."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.heads import Head
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.specs import Spec
from mtlkeras.trunks._functional import as_functional, features_of
from mtlkeras.trunks._remat import cuts_of, model_with_cuts
from mtlkeras.trunks.base import Trunk

TRUNK = "trunk"
"""Name of the shared model within a `MultiTaskModel`."""


Reading = tuple[str | None, str]
"""What a head reads: a tap, `None` for the trunk's end, and the kind of its features."""


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

    def model(self, inputs: Any, outputs: Any, cuts: Sequence[Any] = ()) -> keras.Model:
        """Returns the shared part as a model, under the name by which `MultiTaskModel.trunk` finds it.

        Args:
            inputs: Its inputs.
            outputs: Its outputs.
            cuts: Tensors between which the backward pass computes activations again: `Features.cuts` of the
                trunk, which are none without `remat=True`.
        """
        return model_with_cuts(inputs, outputs, cuts, name=TRUNK)

    def shared(
        self,
        trunk: Trunk | keras.Model,
        inner: Any,
        inputs: Any,
        reads: Mapping[str, Mapping[Reading, Any]],
        mask: Any = None,
        cuts: Sequence[Any] = (),
        watched: Mapping[str, Any] | None = None,
    ) -> Shared:
        """Returns what a scheme builds, where each task reads tensors of its own.

        Args:
            trunk: What the scheme was called with.
            inner: The inputs of the shared model that is to be.
            inputs: The model's inputs, which it is then called with.
            reads: What each task reads, by the tap (`None` for the end) and the kind of feature.
            mask: Of the sequences among them, if any.
            cuts: As for `model`.
            watched: Further outputs of the shared model by name, which no task reads: results of the
                `mtlkeras.layers.GateEntropy` layers of that name, whose means are logged.
        """
        outputs = dict(watched or {})
        outputs |= {
            f"{task}_reads_{name_of(reading)}": tensor
            for task, found in reads.items()
            for reading, tensor in found.items()
        }
        if mask is not None:
            outputs["mask"] = mask
        body = self.model(inner, with_spec(trunk, outputs, self), cuts)
        given = dict(body(inputs))
        mask = given.pop("mask", None)
        features = {
            task: as_features({r: given[f"{task}_reads_{name_of(r)}"] for r in found}, mask)
            for task, found in reads.items()
        }
        return Shared(features, body)


def open_trunk(trunk: Any, inputs: Any) -> tuple[Any, Features]:
    """Returns the trunk's own inputs and its features on them.

    Args:
        trunk: A spec, whose layers are made anew, or a functional `keras.Model`, whose
            layers are used as they are; each of its inner layers is then a tap.
        inputs: The inputs that the trunk is going to be called with.

    Raises:
        ValueError: If the trunk is to compute activations again and has no stages.
    """
    if isinstance(trunk, Trunk):
        inner = trunk.own_inputs(inputs)
        features = trunk(inner)
        if trunk.remat and not features.cuts:
            raise ValueError(
                f"trunk: {type(trunk).__name__} has no stages, so remat=True finds nothing to compute again. "
                "See mtlkeras.trunks.Stage."
            )
        return inner, features
    if isinstance(trunk, keras.Sequential) and not trunk.built:
        trunk.build(keras.tree.flatten(inputs)[0].shape)
    trunk = as_functional(trunk)
    features = features_of(trunk.output, trunk.inputs, _taps(trunk), f"the model '{trunk.name}'")
    return trunk.input, dataclasses.replace(features, cuts=cuts_of(trunk))


def _taps(model: Any) -> dict[str, Any]:
    single = (layer for layer in model.layers if isinstance(layer.output, keras.KerasTensor))
    return {layer.name: layer.output for layer in single}


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


def makes_weights(trunk: Any) -> bool:
    """Returns whether each call of a trunk makes weights of its own, which those of a model do not."""
    return isinstance(trunk, Trunk) and trunk.makes_weights


def with_spec(trunk: Any, outputs: Any, sharing: Sharing | None = None) -> Any:
    """Returns outputs that carry the trunk's spec, if that makes its layers, and that of the scheme."""
    if not makes_weights(trunk):
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
