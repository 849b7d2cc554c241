"""Which layers of a trunk that is built, or was loaded, belong to which of its stages."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import call_behind, functional_within, has_graph
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.trunks._apart import as_inner


def stages_of(trunk: keras.Model, layers: list[Any]) -> dict[str, list[Any]]:
    """Returns a trunk's layers by stage, from shallow to deep; empty if it has no stages.

    The trunk's spec builds the stages once more, without weights, to see which layers they make: those of the
    same names belong to them, in each of several trunks of the spec. So models that were loaded, or cloned,
    have their stages too.

    Args:
        trunk: The shared model.
        layers: Its layers, those within models too.
    """
    spec = next((layer.trunk for layer in trunk.layers if isinstance(layer, TrunkOutput)), None)
    if spec is None:
        return {}
    if "weights" in spec.field_names():
        spec = spec.replace(weights=None)  # Files need not be read for the names.
    with _leaving_no_trace():
        try:
            made = _made(spec, as_inner(trunk.input))
        except NotImplementedError:
            return {}
    keys = dict(zip(map(id, layers), _keys(layers), strict=True))
    every = [layer for found in made.values() for layer in found]
    theirs = dict(zip(map(id, every), _keys(every), strict=True))
    stages: dict[str, list[Any]] = {}
    for name, found in made.items():
        wanted = {theirs[id(layer)] for layer in found}
        stages[name] = [layer for layer in layers if keys[id(layer)] in wanted]
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
    waiting = [x for x in tensors if isinstance(x, keras.KerasTensor)]
    seen: set[int] = set()
    found = {}
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


def _keys(layers: list[Any]) -> list[Any]:
    """Returns for each layer its name; for names that Keras counted, the place among those alike."""
    numbered: dict[str, list[int]] = {}
    parsed = [_counted(layer) for layer in layers]
    for found in parsed:
        if found is not None:
            numbered.setdefault(found[0], []).append(found[1])
    ranks = {base: sorted(set(numbers)) for base, numbers in numbered.items()}
    return [
        layer.name if found is None else (found[0], ranks[found[0]].index(found[1]))
        for layer, found in zip(layers, parsed, strict=True)
    ]


def _counted(layer: Any) -> tuple[str, int] | None:
    """Returns what Keras made a name of, the class and a count, if it did."""
    base, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer.name).groups()  # type: ignore[union-attr]
    if base.replace("_", "") != type(layer).__name__.lower():
        return None
    return base, int(number or 0)


@contextlib.contextmanager
def _leaving_no_trace() -> Iterator[None]:
    """Has layers make no weights, and draw no random numbers that others would miss."""
    states = random.getstate(), np.random.get_state()
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
