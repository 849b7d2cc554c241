"""Which layers of a functional model stand in the ways of which tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._keras_private import call_behind, has_graph, place_among_results
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.layers.trunk_output import TrunkOutput


def shared_layers(model: Any) -> list[Any]:
    """Returns the layers of a functional model that the outputs of several tasks depend on."""
    counts: dict[int, tuple[Any, int]] = {}
    for output in model.output.values():
        for layer in _layers_before(output):
            counts[id(layer)] = layer, counts.get(id(layer), (layer, 0))[1] + 1
    return [layer for layer, count in counts.values() if count > 1 and _is_met_in(layer, model)]


def _is_met_in(layer: Any, model: Any) -> bool:
    """Returns whether the ways of several tasks meet in a layer of a model.

    They do not in a functional model in which each has layers of its own.
    """
    if not has_graph(layer):
        return True
    within = keras.tree.flatten(layer.output)
    counts: dict[int, int] = {}
    for output in model.output.values():
        places = {place_among_results(x) for x in _read_of(layer, output)}
        behind = {id(x): x for place in places for x in _layers_before(_passed(within[place]))}
        for inner in behind.values():
            if inner.trainable_variables:
                counts[id(inner)] = counts.get(id(inner), 0) + 1
    return max(counts.values(), default=0) > 1


def _read_of(layer: Any, output: Any) -> list[Any]:
    """Returns the results of a layer on the way to a symbolic output."""
    found, seen, waiting = [], set(), [output]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found += [tensor] if call_behind(tensor).operation is layer else []
            waiting += call_behind(tensor).inputs
    return found


def _passed(tensor: Any) -> Any:
    """Returns what a result of the layer that passes a trunk's features on is; any other itself."""
    call = call_behind(tensor)
    return call.inputs[place_among_results(tensor)] if isinstance(call.operation, TrunkOutput) else tensor


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
