"""What a trunk that is built, or was loaded, has of what its spec makes.

The spec builds its layers once more, without weights; those of the same names are the same. So trunks of
models that were loaded, or cloned, are read too.
"""

from __future__ import annotations

import contextlib
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

    What the trunk leaves out with its weights, as no head reads it, is left out. Under a scheme that has
    several trunks of the spec, or parts of them in models, there is none.

    Args:
        trunk: The shared model.
    """
    layer = _output_layer(trunk)
    if layer is None or layer.sharing is not None:
        return None
    spec = spec_within(trunk)
    inner = as_inner(trunk.input)
    with leaving_no_trace():
        made = spec(inner)
    ends = {kind: getattr(made, kind) for kind in (*KINDS, "mask") if getattr(made, kind) is not None}
    inputs = zip(map(id, keras.tree.flatten(inner)), keras.tree.flatten(trunk.input), strict=True)
    same = _SameTensors([*ends.values(), *made.taps.values()], trunk, dict(inputs))
    taps = {name: same(tensor) for name, tensor in made.taps.items()}
    return Features(
        **{kind: same(tensor) for kind, tensor in ends.items()},
        taps={name: tensor for name, tensor in taps.items() if tensor is not None},
        source=spec,
    )


def _output_layer(trunk: Any) -> TrunkOutput | None:
    return next((layer for layer in trunk.layers if isinstance(layer, TrunkOutput)), None)


class _SameTensors:
    """Gives for tensors that a spec made those of a trunk: the results of operations of the same names.

    Args:
        made: The tensors that will be asked for.
        trunk: The trunk.
        known: By id the trunk's inputs for those that the spec was called with.
    """

    def __init__(self, made: list[Any], trunk: Any, known: dict[int, Any]) -> None:
        behind = _operations_behind(made)
        self._key_of = dict(zip(map(id, behind), keys(behind), strict=True))
        self._nodes = ordered_nodes(trunk)
        own = list({id(node.operation): node.operation for node in self._nodes}.values())
        self._own = dict(zip(keys(own), own, strict=True))
        self._known = known

    def __call__(self, tensor: Any) -> Any:
        """Returns the trunk's tensor; `None` if weights are needed that it does not have."""
        if id(tensor) not in self._known:
            self._known[id(tensor)] = self._found(tensor)
        return self._known[id(tensor)]

    def _found(self, tensor: Any) -> Any:
        call = call_behind(tensor)
        operation = self._own.get(self._key_of[id(call.operation)])
        calls = [node for node in self._nodes if node.operation is operation]
        if operation is not None and call.number < len(calls):
            return calls[call.number].outputs[place_among_results(tensor)]
        # What stands beside the path to the heads, such as the pooling before one that there is not.
        given = {id(x): self(x) for x in call.inputs}
        if getattr(call.operation, "variables", ()) or any(x is None for x in given.values()):
            return None
        args, kwargs = keras.tree.map_structure(lambda x: given.get(id(x), x), call.arguments)
        return keras.tree.flatten(call.operation(*args, **kwargs))[place_among_results(tensor)]


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
