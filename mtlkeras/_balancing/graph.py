"""Which layers of a functional model stand in the ways of which tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._keras_private import call_behind
from mtlkeras.layers.gradient_fork import GradientFork


def shared_layers(model: Any) -> list[Any]:
    """Returns the layers of a functional model that the outputs of several tasks depend on."""
    counts: dict[int, tuple[Any, int]] = {}
    for output in model.output.values():
        for layer in _layers_before(output):
            counts[id(layer)] = layer, counts.get(id(layer), (layer, 0))[1] + 1
    return [layer for layer, count in counts.values() if count > 1]


def forks(model: Any) -> list[GradientFork]:
    """Returns the forks of a model."""
    return [layer for layer in model.layers if isinstance(layer, GradientFork)]


def tasks_apart(model: Any) -> bool:
    """Returns whether a model has one fork, behind which nothing stands in two tasks' ways."""
    found = forks(model)
    if len(found) != 1 or set(found[0].keys) != set(model.output):
        return False
    ways = [_nodes_before(output, stop=found[0]) for output in model.output.values()]
    return sum(len(way) for way in ways) == len(set().union(*ways))


def all_before_one_fork(variables: list[Any], model: Any) -> bool:
    """Returns whether the tasks are apart behind the one fork, and some variables all stand before it."""
    if not tasks_apart(model):
        return False
    (fork,) = forks(model)
    behind = [
        layer for output in model.output.values() for layer in _layers(_nodes_before(output, stop=fork))
    ]
    return not {id(v) for v in variables} & {id(v) for layer in behind for v in layer.trainable_variables}


def _layers_before(output: Any) -> list[Any]:
    """Returns the layers on the way from the inputs to a symbolic output."""
    return _layers(_nodes_before(output))


def _layers(nodes: Mapping[Any, Any]) -> list[Any]:
    found = {id(o): o for o in nodes.values() if hasattr(o, "trainable_variables")}
    return list(found.values())


def _nodes_before(output: Any, stop: Any = None) -> dict[tuple[int, int], Any]:
    """Returns the operations by call on the way from the inputs, or from a layer, to a symbolic output.

    Inputs are left out.
    """
    found: dict[tuple[int, int], Any] = {}
    waiting = [output]
    while waiting:
        call = call_behind(waiting.pop())
        operation, key = call.operation, (id(call.operation), call.number)
        if operation is stop or key in found or isinstance(operation, keras.layers.InputLayer):
            continue
        found[key] = operation
        waiting += call.inputs
    return found
