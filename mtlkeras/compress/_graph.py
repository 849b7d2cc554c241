"""The channels of a whole model, those of the models in it included."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import call_behind, functional_within, has_graph, ordered_nodes
from mtlkeras.compress._call import Call, Edit, Kept, Refused, Slice, has_channels
from mtlkeras.compress._channels import Channels, Numbers
from mtlkeras.compress._named import named_layers
from mtlkeras.compress._rules import apply
from mtlkeras.sharing._tied import Tied


@dataclasses.dataclass
class Layer:
    """What the graph knows of a layer.

    Args:
        layer: The layer.
        taken: By input, its channels at the first call.
        given: By output, likewise.
        slices: The axes of its weights with an entry for each channel.
        edits: What changes in its config when channels go.
        made: The channels that it makes, if it does.
        refused: Why channels cannot be followed through it, if so.
    """

    layer: Any
    taken: list[Numbers | None]
    given: list[Numbers | None]
    slices: list[Slice] = dataclasses.field(default_factory=list)
    edits: list[Edit] = dataclasses.field(default_factory=list)
    made: Numbers | None = None
    refused: str | None = None


class Graph:
    """Which channels of a functional model go together, and what goes with them.

    Channels of the model's inputs and outputs stay, and so do those that reach a layer without a rule.

    Args:
        model: The model. Models in it, such as a trunk, are part of the graph, wherever they are called.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.channels = Channels()
        self.layers: dict[int, Layer] = {}
        self._within: dict[int, tuple[list[Any], list[Any]]] = {}
        taken, given = self._walk(model)
        for found, what in ((taken, "an input of the model"), (given, "an output of the model")):
            for numbers in found:
                self._lock(numbers, f"they are {what}")

    def makers(self) -> list[Layer]:
        """Returns the layers that make channels."""
        return [layer for layer in self.layers.values() if layer.made is not None]

    def reasons(self, layer: Layer) -> list[str | None]:
        """Returns of each channel that a layer makes why it must stay, or `None`."""
        return [self.channels.reason(number) for number in ([] if layer.made is None else layer.made)]

    def _lock(self, numbers: Numbers | None, reason: str) -> None:
        if numbers is not None:
            self.channels.lock(numbers, reason)

    def _walk(self, model: Any) -> tuple[list[Any], list[Any]]:
        """Returns the channels of a model's inputs and outputs; one that was walked through is not again."""
        inner = functional_within(model)
        if id(inner) in self._within:
            return self._within[id(inner)]
        found = {id(x): self._fresh(x) for x in inner.inputs}
        for x in inner.inputs:
            self._note_input(x, found[id(x)])
        for node in ordered_nodes(inner):
            given = [found[id(x)] for x in node.input_tensors]
            made = self._through(node, given)
            found.update({id(x): numbers for x, numbers in zip(node.outputs, made, strict=True)})
        result = [found[id(x)] for x in inner.inputs], [found[id(x)] for x in inner.outputs]
        self._within[id(inner)] = result
        if isinstance(inner, Tied):
            self._tie_lanes(inner)
        return result

    def _tie_lanes(self, model: Any) -> None:
        """Has trunks whose weights a penalty compares lose the same channels."""
        lanes = [[self.layers.get(id(layer)) for _, layer in named_layers(lane)] for lane in model.lanes]
        for alike in zip(*lanes, strict=True):
            for parts in zip(*(layer.slices for layer in alike if layer is not None), strict=True):
                for part in parts[1:]:
                    self.channels.tie(parts[0].channels, part.channels)

    def _fresh(self, tensor: Any) -> Numbers | None:
        return self.channels.fresh(tensor.shape[-1]) if has_channels(tensor) else None

    def _note_input(self, tensor: Any, numbers: Numbers | None) -> None:
        """Notes that an input of a model in the model becomes as narrow as what it is called with."""
        if numbers is None:
            return

        def edit(config: dict[str, Any], kept: Kept) -> None:
            config["batch_shape"] = (*tensor.shape[:-1], int(kept(numbers).sum()))

        layer = call_behind(tensor).operation
        self.layers[id(layer)] = Layer(layer, [], [numbers], edits=[edit])

    def _through(self, node: Any, given: list[Numbers | None]) -> list[Numbers | None]:
        """Returns the channels of a node's outputs."""
        operation = node.operation
        if has_graph(functional_within(operation)):
            return self._through_model(node, given)
        if id(operation) in self.layers and self._is_same(self.layers[id(operation)]):
            return self._again(node, self.layers[id(operation)], given)
        call = Call(node, given, self.channels)
        try:
            made = apply(call)
        except Refused as refused:
            return self._refused(node, given, str(refused))
        self.layers[id(operation)] = Layer(operation, given, made, call.slices, call.edits, call.made)
        return made

    def _is_same(self, layer: Layer) -> bool:
        """Returns whether all calls of a layer must be of the same channels."""
        return bool(layer.slices or layer.edits or layer.refused)

    def _again(self, node: Any, layer: Layer, given: list[Numbers | None]) -> list[Numbers | None]:
        """Ties what a layer is called with again to what it was called with first."""
        sizes = [[None if x is None else len(x) for x in numbers] for numbers in (layer.taken, given)]
        if layer.refused or sizes[0] != sizes[1]:
            return self._refused(
                node, [*layer.taken, *given], layer.refused or "its calls differ in channels"
            )
        for one, other in zip(layer.taken, given, strict=True):
            if one is not None and other is not None:
                self.channels.tie(one, other)
        return layer.given

    def _through_model(self, node: Any, given: list[Numbers | None]) -> list[Numbers | None]:
        inner = functional_within(node.operation)
        taken, made = self._walk(inner)
        by_tensor = {id(x): numbers for x, numbers in zip(node.input_tensors, given, strict=True)}
        outer = keras.tree.flatten(_read(inner.input, node.arguments))
        if len(outer) != len(taken) or len(made) != len(node.outputs):
            return self._refused(node, [*given, *taken, *made], "it is called otherwise than it was made")
        for tensor, numbers in zip(outer, taken, strict=True):
            found = by_tensor.get(id(tensor))
            if found is None or numbers is None or len(found) != len(numbers):
                self._lock(numbers, f"they are an input of '{node.operation.name}'")
                self._lock(found, f"they are an input of '{node.operation.name}'")
            else:
                self.channels.tie(found, numbers)
        return made

    def _refused(self, node: Any, given: list[Numbers | None], why: str) -> list[Numbers | None]:
        """Locks all that goes into a layer and comes out of it."""
        layer = node.operation
        made = [self._fresh(x) for x in node.outputs]
        reason = f"they go through '{layer.name}' ({type(layer).__name__}): {why}"
        for numbers in [*given, *made]:
            self._lock(numbers, reason)
        self.layers.setdefault(id(layer), Layer(layer, given, made)).refused = why
        return made


def _read(own: Any, arguments: Any) -> Any:
    """Returns the tensors that a model reads of what it is called with."""
    given = arguments.args[0] if arguments.args else arguments.kwargs.get("inputs")
    if isinstance(own, dict) and isinstance(given, dict):
        return {name: given.get(name) for name in own}
    return given


def kept_of(channels: Channels, removed: Any) -> Kept:
    """Returns what tells of channels which stay, where all of some sets go.

    Args:
        channels: All channels.
        removed: The roots of the sets that go.
    """
    gone = np.zeros(len(channels) + 1, bool)
    gone[list(removed)] = True

    def kept(numbers: Numbers) -> np.ndarray:
        return ~gone[channels.roots(numbers)]

    return kept
