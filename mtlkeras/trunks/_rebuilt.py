"""What a trunk that is built, or was loaded, has of what its spec makes.

The spec builds its layers once more, without weights; those of the same names are the same. So trunks of
models that were loaded, or cloned, are read too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import call_behind, ordered_nodes, place_among_results
from mtlkeras.features import KINDS, Features
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.trunks._apart import as_inner


def spec_within(trunk: keras.Model) -> Any:
    """Returns the spec that made the layers of a trunk, ready to make them again; `None` if none did."""
    layer = _output_layer(trunk)
    if layer is None:
        return None
    spec = layer.trunk
    # Files need not be read for the names.
    return spec.replace(weights=None) if "weights" in spec.field_names() else spec


def features_within(trunk: keras.Model) -> Features | None:
    """Returns what the spec of a trunk offers, as tensors of the trunk; `None` if it was made by none.

    What the trunk leaves out, as no head reads it, is left out. Under a scheme that has several trunks of the
    spec, or parts of them in models, there is none.

    Args:
        trunk: The shared model.
    """
    layer = _output_layer(trunk)
    if layer is None or layer.sharing is not None:
        return None
    spec = spec_within(trunk)
    with leaving_no_trace():
        made = spec(as_inner(trunk.input))
    wanted = {kind: getattr(made, kind) for kind in (*KINDS, "mask")} | {
        ("tap", name): tensor for name, tensor in made.taps.items()
    }
    found = _same_tensors({key: x for key, x in wanted.items() if x is not None}, trunk)
    kinds = {key: tensor for key, tensor in found.items() if isinstance(key, str)}
    taps = {key[1]: tensor for key, tensor in found.items() if not isinstance(key, str)}
    return dataclasses.replace(Features(**kinds, source=spec), taps=taps)


def _output_layer(trunk: Any) -> TrunkOutput | None:
    return next((layer for layer in trunk.layers if isinstance(layer, TrunkOutput)), None)


def _same_tensors(wanted: dict[Any, Any], trunk: Any) -> dict[Any, Any]:
    """Returns the tensors of a trunk that operations of the same names give, as far as it has them."""
    theirs = _operations_behind(list(wanted.values()))
    key_of = dict(zip(map(id, theirs), keys(theirs), strict=True))
    nodes = ordered_nodes(trunk)
    own = list({id(node.operation): node.operation for node in nodes}.values())
    operation_of = dict(zip(keys(own), own, strict=True))
    found = {}
    for name, tensor in wanted.items():
        call = call_behind(tensor)
        operation = operation_of.get(key_of[id(call.operation)])
        calls = [node for node in nodes if node.operation is operation]
        if operation is not None and call.number < len(calls):
            found[name] = calls[call.number].outputs[place_among_results(tensor)]
    return found


def _operations_behind(tensors: list[Any]) -> list[Any]:
    """Returns the operations that tensors are made by, each once."""
    waiting, seen, found = list(tensors), set(), {}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            call = call_behind(tensor)
            found[id(call.operation)] = call.operation
            waiting += call.inputs
    return list(found.values())


def keys(layers: list[Any]) -> list[Any]:
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
def leaving_no_trace() -> Iterator[None]:
    """Has layers make no weights, and draw no random numbers that others would miss."""
    states = random.getstate(), np.random.get_state()
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
