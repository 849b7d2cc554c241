"""The parts of a model by the names that people give them: trunk, heads, stages, layers."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from mtlkeras._errors import near_match
from mtlkeras._keras_private import call_behind, functional_within, has_graph
from mtlkeras.trunks._stage_layers import stages_of, units

WHOLE = ("all", "trunk", "heads")
_WILD = "*?["


class Parts:
    """The layers of a model, found by name.

    They are those of the graphs: a layer of several others is one, a model is what it is made of.

    Args:
        model: A `MultiTaskModel`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        trunk = next((layer for layer in model.layers if layer is _trunk_of(model)), None)
        self.trunk = [] if trunk is None else units(trunk)
        within = {id(unit) for unit in self.trunk}
        self.heads = [unit for unit in units(model) if id(unit) not in within]
        self.by_task = _by_task(model, self.heads)

    @property
    def all(self) -> list[Any]:
        """All layers."""
        return [*self.trunk, *self.heads]

    @functools.cached_property
    def stages(self) -> dict[str, list[Any]]:
        """The trunk's layers by stage, from shallow to deep, in each of its copies; empty if it has none."""
        trunk = _trunk_of(self.model)
        return {} if trunk is None else stages_of(trunk, self.trunk)

    @functools.cached_property
    def _named(self) -> dict[str, list[Any]]:
        named: dict[str, list[Any]] = {}
        for name, unit in _names(self.model):
            named.setdefault(name, []).append(unit)
        return named

    def find(self, names: Iterable[str], where: str) -> list[Any]:
        """Returns the layers that some names mean, each once.

        Raises:
            ValueError: If a name means nothing, or two things.
        """
        found = {id(unit): unit for name in names for unit in self._find(name, where)}
        return [unit for unit in self.all if id(unit) in found]

    def _find(self, name: str, where: str) -> list[Any]:
        if name in WHOLE:
            if name == "trunk" and not self.trunk:
                raise ValueError(f"{where}: the tasks of the model '{self.model.name}' share no trunk.")
            return getattr(self, name)
        if name in self.by_task and name in self.stages:
            raise ValueError(f"{where}: '{name}' is a task and a stage of the trunk. Name layers instead.")
        for known in (self.by_task, self.stages, self._named):
            if name in known:
                return known[name]
        if any(sign in name for sign in _WILD):
            known = {**self._named, **self.stages}
            matching = [
                unit for key, found in known.items() if fnmatch.fnmatchcase(key, name) for unit in found
            ]
            if matching:
                return matching
        raise self._unknown(name, where)

    def _unknown(self, name: str, where: str) -> ValueError:
        stages = ", ".join(map(repr, self.stages))
        return ValueError(
            f"{where}: '{name}' is no part of the model.{near_match(name, [*self._short(), *self._named])} "
            f"Known: {', '.join(map(repr, WHOLE))}; tasks {', '.join(map(repr, self.by_task))}; "
            f"{f'stages {stages}' if stages else 'no stages (the trunk has none, or is one model)'}; "
            "and names of layers."
        )

    def _short(self) -> list[str]:
        return [*WHOLE, *self.by_task, *self.stages]

    def without_stage(self) -> list[Any]:
        """Returns the layers that belong to no stage."""
        staged = {id(unit) for found in self.stages.values() for unit in found}
        return [unit for unit in self.all if id(unit) not in staged]


def _names(model: Any) -> list[tuple[str, Any]]:
    """Returns pairs of a name and a layer; the name of a model within means all its layers."""
    pairs = []
    for layer in functional_within(model).layers:
        if has_graph(functional_within(layer)):
            pairs += [*_names(layer), *((layer.name, unit) for unit in units(layer))]
        else:
            pairs.append((layer.name, layer))
    return pairs


def _trunk_of(model: Any) -> Any:
    try:
        return model.trunk
    except AttributeError:
        return None


def _by_task(model: Any, outside: list[Any]) -> dict[str, list[Any]]:
    """Returns each task's own layers: on the way to its output, and called after it or in no other's way."""
    ways = {task: _way(output, outside) for task, output in model.output.items()}
    found: dict[str, list[Any]] = {task: [] for task in ways}
    for unit in outside:
        through = [task for task, way in ways.items() if id(unit) in way]
        named = [task for task in through if unit.name == task or unit.name.startswith(f"{task}_")]
        if named:
            found[max(named, key=len)].append(unit)
        elif len(through) == 1:
            found[through[0]].append(unit)
    return found


def _way(output: Any, outside: list[Any]) -> Mapping[int, Any]:
    """Returns the layers outside of the trunk on the way to an output, by id."""
    wanted = {id(unit) for unit in outside}
    found: dict[int, Any] = {}
    seen, waiting = set(), [output]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation = call_behind(tensor).operation
        for unit in units(operation) if has_graph(functional_within(operation)) else [operation]:
            if id(unit) in wanted:
                found[id(unit)] = unit
        waiting += call_behind(tensor).inputs
    return found
