"""The graph of a functional model: where it can be cut, and what lies between two cuts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras

from mtlkeras._keras_private import ordered_nodes, run_node
from mtlkeras._types import Tensor
from mtlkeras.trunks._apart import sources
from mtlkeras.trunks.stages import POOLED_MASK, Flow, Stage


@dataclasses.dataclass(frozen=True)
class Cut:
    """A place in a graph behind which one tensor of floats alone goes on.

    Args:
        name: Name of the layer that gives it, and of the stage that ends here.
        place: How many operations come before the cut.
        x: What goes on: the tensor; at the ends of a graph its inputs or outputs.
        beside: Ids and masks, which may go on beside it.
    """

    name: str
    place: int
    x: Any
    beside: tuple[Any, ...] = ()


class Graph:
    """The operations of a functional model behind some of its tensors, in an order in which they can run.

    Args:
        model: The model.
        start: The tensors that the first operations read: the model's inputs, or what they were made to.
    """

    def __init__(self, model: Any, start: Any) -> None:
        given = keras.tree.flatten(start)
        before = sources(given)
        self.outputs = model.output
        self.nodes = [
            node for node in ordered_nodes(model) if not any(id(output) in before for output in node.outputs)
        ]
        self._ids = tuple(x for x in given if not _is_float(x))
        self._last_use = {id(x): len(self.nodes) for x in keras.tree.flatten(self.outputs)}
        for place, node in reversed(list(enumerate(self.nodes))):
            for x in node.input_tensors:
                self._last_use.setdefault(id(x), place)
        self.start = Cut("start", 0, start, self._ids)
        self._known = self._found_cuts(given)

    def _found_cuts(self, given: list[Any]) -> list[tuple[Any, Cut, list[Any]]]:
        """Returns each operation's node if it has one output, the cut behind it, and what crosses that."""
        found = []
        alive = list(given)
        for place, node in enumerate(self.nodes):
            alive = [x for x in [*alive, *node.outputs] if self._last_use.get(id(x), -1) > place]
            others = [x for x in alive if x is not node.outputs[0]]
            if len(node.outputs) == 1:
                beside = tuple({id(x): x for x in [*self._ids, *others] if not _is_float(x)}.values())
                cut = Cut(node.operation.name, place + 1, node.outputs[0], beside)
                found.append((node, cut, [x for x in others if _is_float(x)]))
        return found

    def cuts(self) -> list[Cut]:
        """Returns all places where the graph can be cut."""
        return [cut for _, cut, crossing in self._known if not crossing and _is_float(cut.x)]

    def behind(self, name: str) -> list[tuple[Cut, list[Any]]]:
        """Returns the cuts behind a layer, one for each of its calls, with the tensors that cross them."""
        return [(cut, crossing) for _, cut, crossing in self._known if cut.name == name]

    def end(self) -> Cut:
        """Returns the cut behind everything."""
        single = [node.operation.name for node in self.nodes if node.outputs[0] is self.outputs]
        return Cut(single[0] if single else "outputs", len(self.nodes), self.outputs, self._ids)

    def stages(self, cuts: Iterable[Cut], is_tap: Callable[[Any], bool]) -> list[Stage]:
        """Returns the stages that end at some cuts, the last of which is behind everything.

        Args:
            cuts: In their order.
            is_tap: Tells of an operation with one output whether that is a tap.
        """
        ends = [self.start, *cuts]
        return [
            Stage(after.name, partial(self._run, before, after, is_tap))
            for before, after in zip(ends, ends[1:], strict=False)
        ]

    def _run(self, before: Cut, after: Cut, is_tap: Callable[[Any], bool], flow: Flow) -> Flow:
        """Applies the operations between two cuts; where nothing new comes in, they have been applied."""
        own = [*keras.tree.flatten(before.x), *before.beside]
        given = [*keras.tree.flatten(flow.x), *(flow.beside[x.name] for x in before.beside)]
        found = {id(x): y for x, y in zip(own, given, strict=True)}
        as_it_was = all(x is y for x, y in zip(own, given, strict=True))
        taps = {}
        for node in self.nodes[before.place : after.place]:
            outputs = node.outputs if as_it_was else run_node(node, found)
            found.update({id(x): y for x, y in zip(node.outputs, outputs, strict=True)})
            if len(outputs) == 1 and is_tap(node.operation):
                taps[node.operation.name] = outputs[0]
        x = keras.tree.map_structure(lambda tensor: found[id(tensor)], after.x)
        beside = {tensor.name: found[id(tensor)] for tensor in after.beside if id(tensor) in found}
        # What was made of another mask, as by pooling, comes after it.
        masks = [mask for mask in beside.values() if mask.dtype == "bool" and len(mask.shape) == 2]
        left: dict[str, Any] = {POOLED_MASK: masks[-1]} if masks else {}
        return flow.to(x, beside={**beside, **left}, taps=taps)


def _is_float(tensor: Tensor) -> bool:
    return keras.backend.is_float_dtype(tensor.dtype)
