"""Functional models whose backward pass computes activations again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlkeras._keras_private import call_behind, ordered_nodes, ready_inputs
from mtlkeras._types import Tensor
from mtlkeras.trunks._segments import Segments, apply


def model_with_cuts(inputs: Any, outputs: Any, cuts: Sequence[Any], name: str) -> keras.Model:
    """Returns a functional model that keeps of its activations those at some cuts for the backward pass.

    Args:
        inputs: Its inputs.
        outputs: Its outputs.
        cuts: Symbolic tensors of its graph, in their order; without any the model is a plain one.
        name: Its name.
    """
    if not cuts:
        return keras.Model(inputs, outputs, name=name)
    model = Rematerialized(inputs, outputs, name=name)
    model.cut_at([call_behind(x).operation.name for x in cuts])
    return model


def cuts_of(model: Any) -> tuple[Any, ...]:
    """Returns the tensors that `model_with_cuts` made a model with."""
    return model.segments.cuts if isinstance(model, Rematerialized) and model.segments else ()


@keras.saving.register_keras_serializable("mtlkeras", name="Rematerialized")
class Rematerialized(keras.Model):
    """A functional model that runs in segments, whose activations the backward pass computes again.

    Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost. The graph, the layers, their names and
    the weights in a file are those of a plain model; so is all that it computes. What a segment changes,
    such as moving statistics and the states of random seeds, is a further output of its function, and
    assigned once. `cut_at` says where segments end.
    """

    segments: Segments | None = None

    def cut_at(self, names: Sequence[str]) -> None:
        """Ends a segment at each of some operations; those that the graph has not are passed over."""
        behind = {node.operation.name: node.outputs[0] for node in ordered_nodes(self)}
        cuts = tuple(behind[name] for name in names if name in behind)
        # Past Keras' attribute tracking, which would copy the lists in it.
        object.__setattr__(self, "segments", Segments(self, cuts))

    def call(self, inputs: Any, training: Any = None, mask: Tensor | None = None) -> Any:
        if not training or self.segments is None:
            return super().call(inputs, training=training, mask=mask)
        values = ready_inputs(self, inputs, mask)
        found = {id(x): value for x, value in zip(self.inputs, values, strict=True)}
        for node in self.segments.first:
            apply(node, found)
        for segment in self.segments.segments:
            segment.run(found, self)
        for node in self.segments.last:
            apply(node, found)
        return keras.tree.map_structure(lambda x: found[id(x)], self.output)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cuts": [call_behind(x).operation.name for x in cuts_of(self)]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Rematerialized:
        own = {name: value for name, value in config.items() if name != "cuts"}
        model = super().from_config(own, custom_objects=custom_objects)
        model.cut_at(config.get("cuts", ()))
        return model


# In files of weights a part goes by the name of its class: so those with and without cuts are the same.
Rematerialized.__name__ = "Functional"
