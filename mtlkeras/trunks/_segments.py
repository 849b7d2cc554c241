"""The segments of a functional graph, each a function whose activations the backward pass computes again."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras._keras_private import mask_of, ordered_nodes, run_node, set_mask, training_call, uncast_value
from mtlkeras._types import Tensor
from mtlkeras.trunks._apart import sources


class Segments:
    """A functional model's graph, cut in segments.

    Ids and what embeds them stay outside: to look rows up again would bring nothing but a dense gradient of
    the table.

    Args:
        model: The model.
        cuts: The tensors at which segments end.
    """

    def __init__(self, model: Any, cuts: tuple[Any, ...]) -> None:
        nodes = ordered_nodes(model)
        self.cuts = cuts
        self.first = _of_ids(nodes, model.inputs)
        done = {id(node) for node in self.first}
        parts = []
        for cut in cuts:
            before = sources([cut])
            part = [n for n in nodes if id(n) not in done and any(id(x) in before for x in n.outputs)]
            done.update(id(node) for node in part)
            parts.append(part)
        self.last = [node for node in nodes if id(node) not in done]
        read = {id(x) for x in keras.tree.flatten(model.output)}
        self.segments: list[Segment] = []
        for part in reversed(parts):
            after = read | {id(x) for node in self._behind(part, parts) for x in node.input_tensors}
            if part:
                self.segments.insert(0, Segment(part, after))

    def _behind(self, part: list[Any], parts: list[list[Any]]) -> list[Any]:
        """Returns the nodes outside of a part that may read what it gives."""
        return [*self.last, *(node for other in parts if other is not part for node in other)]


class Segment:
    """Operations of a graph as one function of tensors and of the values of their variables.

    Args:
        nodes: The operations, in an order in which they can run.
        read: Ids of the tensors that are read outside of the segment.
    """

    def __init__(self, nodes: list[Any], read: set[int]) -> None:
        self.nodes = nodes
        made = {id(x): x for node in nodes for x in node.outputs}
        given = {id(x): x for node in nodes for x in node.input_tensors if id(x) not in made}
        self.inputs = list(given.values())
        # Floats first: TensorFlow orders the second computation by the gradient of the first output.
        self.outputs = sorted((x for x in made.values() if id(x) in read), key=lambda x: not _is_float(x))
        self._weighted = [n.operation for n in nodes if isinstance(n.operation, keras.layers.Layer)]

    def run(self, found: dict[int, Any], model: Any) -> None:
        """Adds the segment's outputs to the tensors found so far, and makes the changes of its variables.

        Args:
            found: Tensors by id of the symbolic ones.
            model: What takes the losses that layers add.
        """
        variables = list({id(v): v for layer in self._weighted for v in layer.variables}.values())
        given = [found[id(x)] for x in self.inputs]
        call = _Call(self, variables, [mask_of(x) for x in given])
        held = [*given, *(uncast_value(v) for v in variables)]
        results = list(call.rematerialized(held))
        for x, has_mask in zip(self.outputs, call.masked, strict=True):
            found[id(x)] = results.pop(0)
            if has_mask:
                set_mask(found[id(x)], results.pop(0))
        for variable in call.changed:
            variable.assign(results.pop(0))
        for loss in results:
            keras.layers.Layer.add_loss(model, loss)  # A model's own refuses.


class _Call:
    """One run of a segment. What it gives beside its outputs shows in the run."""

    def __init__(self, segment: Segment, variables: list[Any], masks: list[Any]) -> None:
        self.segment, self.variables, self.masks = segment, variables, masks
        self.masked: list[bool] = []
        self.changed: list[Any] = []

    def rematerialized(self, held: list[Any]) -> Any:
        """Returns the results for tensors and values of variables; floats have gradients."""
        floats = [place for place, value in enumerate(held) if _is_float(value)]

        def compute(*values: Tensor) -> tuple[Any, ...]:
            every = dict(enumerate(held)) | dict(zip(floats, values, strict=True))
            return self._compute(list(every.values()))

        again = keras.remat(compute) if floats else compute  # Of ids alone nothing has a gradient.
        return again(*(held[place] for place in floats))

    def _compute(self, held: list[Any]) -> tuple[Any, ...]:
        segment, count = self.segment, len(self.segment.inputs)
        found = {id(x): value for x, value in zip(segment.inputs, held, strict=False)}
        for value, mask in zip(held, self.masks, strict=False):
            if mask is not None:
                set_mask(value, mask)
        scope = keras.StatelessScope(
            list(zip(self.variables, held[count:], strict=True)), collect_losses=True
        )
        before = [scope.get_current_value(v) for v in self.variables]
        with scope, training_call():
            for node in segment.nodes:
                apply(node, found)
        outputs = [found[id(x)] for x in segment.outputs]
        pairs = [(value, mask_of(value)) for value in outputs]
        self.masked = [mask is not None for _, mask in pairs]
        after = [scope.get_current_value(v) for v in self.variables]
        changes = [
            (v, new) for v, old, new in zip(self.variables, before, after, strict=True) if new is not old
        ]
        self.changed = [variable for variable, _ in changes]
        with_masks = [x for pair in pairs for x in pair if x is not None]
        return (*with_masks, *(new for _, new in changes), *scope.losses)


def apply(node: Any, found: dict[int, Any]) -> None:
    """Adds what a node's operation gives in training to the tensors found so far."""
    outputs = run_node(node, found, training=True)
    found.update({id(x): value for x, value in zip(node.outputs, outputs, strict=True)})


def _of_ids(nodes: list[Any], inputs: list[Any]) -> list[Any]:
    """Returns the nodes that compute ids and masks of the inputs alone, and embed them."""
    ready, found = {id(x) for x in inputs}, []
    for node in nodes:
        embeds = isinstance(node.operation, keras.layers.Embedding)
        counts = not any(_is_float(x) for x in node.outputs)
        if (embeds or counts) and all(id(x) in ready for x in node.input_tensors):
            found.append(node)
            ready.update(id(x) for x in node.outputs)
    return found


def _is_float(tensor: Tensor) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
