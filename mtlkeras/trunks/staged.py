"""A functional model as a trunk with stages."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.specs import spec
from mtlkeras.trunks._functional import as_functional, features_of
from mtlkeras.trunks._graph import Cut, Graph
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage


@spec
class Staged(Trunk):
    """A functional `keras.Model` as a trunk with stages, cut behind some of its layers.

    The model's own layers are used, with their weights, as where the model itself is the trunk: what it
    belongs to is trained with it. A stage has the name of the layer that it ends with; the last one ends
    with the model's output, under its layer's name, or as `"outputs"` where there are several.

    At a cut one tensor of floats alone may go on. Ids and masks, whole numbers and bools, may pass beside it;
    a shortcut may not.

    Args:
        model: The model; a `keras.Sequential` must know its input. Its config is in the config of the spec,
            but its weights are not: they are saved with the models that it is a part of.
        cuts: Names of layers, in the order of the graph.

    Gives what the model's output is by its rank, a map or sequence pooled as `vector` too, or by the names of
    its outputs; as taps every inner layer with one output, by its name.

    Raises:
        ValueError: If the model is not functional, a cut names no layer of it or one that has several outputs
            or calls, the cuts are not in the order of the graph, or something passes a cut.

    Example:

    ```python
    x = keras.Input((32, 32, 3))
    first = keras.layers.Conv2D(8, 3, strides=2, name="first")(x)
    network = keras.Model(x, keras.layers.Conv2D(16, 3, strides=2, name="second")(first))
    trunk = mtlkeras.trunks.Staged(network, cuts=("first",))
    [stage.name for stage in trunk.stages(trunk.start(x))]  # ['first', 'second']
    ```
    """

    gives: ClassVar = ("vector", "map", "sequence")
    makes_weights: ClassVar = False

    model: keras.Model
    cuts: tuple[str, ...] = ()

    def validate(self) -> None:
        model = as_functional(self.model, "Staged: model")
        object.__setattr__(self, "model", model)
        self._cuts(Graph(model, model.input))

    def own_inputs(self, inputs: Tensor | NamedTensors) -> Any:
        """Returns the inputs of the model itself."""
        return self.model.input

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the inputs; beside them are those that hold ids or masks."""
        given, own = keras.tree.flatten(inputs), self.model.inputs
        if len(given) != len(own):
            raise ValueError(f"{self!r} takes {len(own)} inputs; received {len(given)}.")
        ids = {
            x.name: y for x, y in zip(own, given, strict=True) if not keras.backend.is_float_dtype(x.dtype)
        }
        return Flow(inputs, beside=ids)

    def stages(self, flow: Flow) -> list[Stage]:
        graph = Graph(self.model, self.model.input)
        cuts, end = self._cuts(graph), graph.end()
        if not cuts or cuts[-1].x is not end.x:
            cuts = [*cuts, end]
        return graph.stages(cuts, _is_layer)

    def end(self, flow: Flow) -> Features:
        inputs = [flow.beside[x.name] for x in self.model.inputs if x.name in flow.beside]
        return features_of(flow.x, inputs, flow.taps, self)

    def _cuts(self, graph: Graph) -> list[Cut]:
        found = [self._cut(graph, name) for name in self.cuts]
        for before, after in zip(found, found[1:], strict=False):
            if after.place <= before.place:
                raise ValueError(
                    f"Staged: cuts must be in the order of the graph of the model '{self.model.name}': "
                    f"'{after.name}' does not come after '{before.name}'."
                )
        return found

    def _cut(self, graph: Graph, name: str) -> Cut:
        where = f"Staged: cuts of the model '{self.model.name}'"
        layers = [layer.name for layer in self.model.layers if not isinstance(layer, keras.layers.InputLayer)]
        if name not in layers:
            raise unknown_name("layer", name, layers, where)
        found = graph.behind(name)
        if len(found) != 1:
            calls = f"is called {len(found)} times" if found else "has several outputs"
            raise ValueError(f"{where}: the layer '{name}' {calls}, so no one tensor comes from it.")
        cut, crossing = found[0]
        possible = [c.name for c in graph.cuts() if c.name in layers]
        if crossing or cut not in graph.cuts():
            raise ValueError(
                f"{where}: cannot cut behind '{name}', {_why(crossing)}. "
                f"Cuts can be behind: {', '.join(possible) or 'no layer'}."
            )
        return cut

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Staged):
            return NotImplemented
        if (self.cuts, self.remat) != (other.cuts, other.remat):
            return False
        return self.model is other.model or _config(self.model) == _config(other.model)

    def __hash__(self) -> int:
        return hash((self.model.name, self.cuts, self.remat))

    def __repr__(self) -> str:
        """Writes the model as if a variable had its name."""
        remat = ", remat=True" if self.remat else ""
        return f"Staged({self.model.name}, cuts={self.cuts!r}{remat})"


def _config(model: Any) -> str:
    # As text, in which tuples and lists are the same.
    return json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str)


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer)


def _why(crossing: list[Any]) -> str:
    if not crossing:
        return "which gives no floats"
    names = ", ".join(f"'{call_behind(x).operation.name}'" for x in crossing)
    return f"which what {names} gives passes, as a shortcut does"
