"""Layers of a model by what people call them: their names, tasks, the trunk, the heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind, functional_within, has_graph

HEADS, TRUNK = "heads", "trunk"


def named_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yields the layers of a model by name, those of the models in it too, but not these."""
    for operation in functional_within(model).operations:
        if has_graph(functional_within(operation)):
            yield from named_layers(operation)
        else:
            yield operation.name, operation


def layers_of(model: Any, names: Iterable[str], owner: str) -> set[int]:
    """Returns the ids of all layers that some names mean.

    Args:
        model: A `MultiTaskModel`.
        names: Names of layers or tasks, `"heads"` or `"trunk"`.
        owner: What the names were given for, for the error message.

    Raises:
        ValueError: If a name means nothing.
    """
    heads = {id(layer) for layer in model.layers if not has_graph(functional_within(layer))}
    named: dict[str, set[int]] = {
        HEADS: heads,
        **{task: _of_task(model, task, heads) for task in model.heads},
    }
    for name, layer in named_layers(model):
        if name not in model.heads:
            named.setdefault(name, set()).add(id(layer))
        if id(layer) not in heads:
            named.setdefault(TRUNK, set()).add(id(layer))
    found: set[int] = set()
    for name in names:
        if name not in named:
            raise unknown_name("layer or task", name, named, owner)
        found |= named[name]
    return found


def _of_task(model: Any, task: str, heads: set[int]) -> set[int]:
    """Returns the layers of heads on the way to a task's output."""
    found: set[int] = set()
    waiting = [model.output[task]]
    while waiting:
        call = call_behind(waiting.pop())
        if id(call.operation) in heads and id(call.operation) not in found:
            found.add(id(call.operation))
            waiting += call.inputs
    return found
