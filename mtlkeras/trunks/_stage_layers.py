"""Which layers of a trunk that is built, or was loaded, belong to which of its stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from mtlkeras._keras_private import call_behind, functional_within, has_graph
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._rebuilt import keys, leaving_no_trace, spec_within


def stages_of(trunk: keras.Model, layers: list[Any]) -> dict[str, list[Any]]:
    """Returns a trunk's layers by stage, from shallow to deep; empty if it has no stages.

    The trunk's spec builds the stages once more, without weights, to see which layers they make: those of the
    same names belong to them, in each of several trunks of the spec. So models that were loaded, or cloned,
    have their stages too.

    Args:
        trunk: The shared model.
        layers: Its layers, those within models too.
    """
    spec = spec_within(trunk)
    if spec is None:
        return {}
    with leaving_no_trace():
        try:
            made = _made(spec, as_inner(trunk.input))
        except NotImplementedError:
            return {}
    own = dict(zip(map(id, layers), keys(layers), strict=True))
    every = [layer for found in made.values() for layer in found]
    theirs = dict(zip(map(id, every), keys(every), strict=True))
    stages: dict[str, list[Any]] = {}
    for name, found in made.items():
        wanted = {theirs[id(layer)] for layer in found}
        stages[name] = [layer for layer in layers if own[id(layer)] in wanted]
    return stages


def _made(spec: Any, inputs: Any) -> dict[str, list[Any]]:
    """Returns the layers that each stage of a trunk makes."""
    flow = spec.start(inputs)
    seen = set(_operations(flow))
    made = {}
    for stage in spec.stages(flow):
        flow = stage(flow)
        new = {key: layer for key, layer in _operations(flow).items() if key not in seen}
        seen.update(new)
        made[stage.name] = [unit for layer in new.values() for unit in _units(layer)]
    return made


def _operations(flow: Any) -> dict[int, Any]:
    """Returns the layers before the tensors of a flow, by id."""
    tensors = keras.tree.flatten([flow.x, dict(flow.beside), dict(flow.taps)])
    return layers_behind(x for x in tensors if isinstance(x, keras.KerasTensor))


def layers_behind(tensors: Iterable[Any]) -> dict[int, Any]:
    """Returns the layers that symbolic tensors were made by, by id."""
    waiting, seen, found = list(tensors), set(), {}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            call = call_behind(tensor)
            if isinstance(call.operation, keras.layers.Layer):
                found[id(call.operation)] = call.operation
            waiting += call.inputs
    return found


def units(model: Any) -> list[Any]:
    """Returns the layers of a functional model's graph, with those of the models in it in their place."""
    found = [unit for layer in functional_within(model).layers for unit in _units(layer)]
    return list({id(unit): unit for unit in found}.values())


def _units(layer: Any) -> list[Any]:
    return units(layer) if has_graph(functional_within(layer)) else [layer]
