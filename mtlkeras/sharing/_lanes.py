"""Trunks of one spec side by side in one model, which run stage by stage."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras.heads import Head
from mtlkeras.sharing.base import Reading, makes_weights, name_of, read_by
from mtlkeras.trunks._apart import Part
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage


class Lane:
    """A trunk that runs stage by stage, each in a model of its own named `<lane>_<stage>`.

    What works between the stages changes `flow`.

    Args:
        name: Its name among others.
        trunk: The trunk.
        flow: What its first stage begins with.
    """

    def __init__(self, name: str, trunk: Trunk, flow: Flow) -> None:
        self.name, self.trunk, self.flow = name, trunk, flow
        self.stages: Sequence[Stage] = trunk.stages(flow)

    def run(self, place: int) -> None:
        """Runs the stage at a place."""
        stage = self.stages[place]
        self.flow = stage.apart(self.flow, f"{self.name}_{stage.name}")

    def put(self, place: int, x: Any) -> None:
        """Puts a tensor in the place of what the stage at a place gave, which is its tap too."""
        self.flow = self.flow.to(x, taps={self.stages[place].name: x}).cut()

    def end(self, heads: Mapping[str, Head]) -> Ended:
        """Returns what heads read of the trunk."""
        return ended(self.trunk, self.flow, heads, f"{self.name}_end")


class Ended:
    """What heads read at the end of a lane.

    Args:
        outputs: Tensors by name, and the mask of sequences among them as `"mask"`.
        readings: What each task reads of them.
        cuts: Tensors that are kept for the backward pass.
    """

    def __init__(
        self, outputs: Mapping[str, Any], readings: Mapping[str, list[Reading]], cuts: tuple[Any, ...]
    ) -> None:
        self.outputs, self.readings, self.cuts = dict(outputs), readings, cuts

    @property
    def mask(self) -> Any:
        """The mask of the sequences that heads read; `None` without any."""
        return self.outputs.get("mask")

    def of(self, task: str) -> dict[Reading, Any]:
        """Returns what a task reads."""
        return {reading: self.outputs[name_of(reading)] for reading in self.readings[task]}


class End:
    """The end of a trunk in a model of its own, which can be called again: all calls share its layers.

    Args:
        trunk: The trunk.
        flow: A flow behind its last stage, for the first time.
        heads: What reads it.
        name: Name of the model.
    """

    def __init__(self, trunk: Trunk, flow: Flow, heads: Mapping[str, Head], name: str) -> None:
        self._trunk, self._heads = trunk, heads
        self.readings: dict[str, list[Reading]] = {}
        self.part = Part(self._read, flow, name)

    def _read(self, flow: Flow) -> dict[str, Any]:
        outputs, self.readings = read_by(self._heads, self._trunk.end(flow))
        return outputs

    def __call__(self, flow: Flow) -> Ended:
        """Returns what heads read behind a flow."""
        return Ended(self.part(flow), self.readings, flow.cuts if self._trunk.remat else ())


def ended(trunk: Trunk, flow: Flow, heads: Mapping[str, Head], name: str) -> Ended:
    """Returns what heads read of a trunk whose last stage has run, made in a model of its own."""
    return End(trunk, flow, heads, name)(flow)


def ended_lanes(
    groups: Sequence[tuple[Lane, Sequence[str]]], heads: Mapping[str, Head]
) -> tuple[dict[str, dict[Reading, Any]], Any, list[Any]]:
    """Returns what heads read at the ends of lanes, as `Sharing.shared` takes it.

    Args:
        groups: Lanes, each with the tasks whose heads read it.
        heads: The heads by task.

    Returns:
        What each task reads; the mask of the sequences among that, or `None`; and the tensors that are kept
        for the backward pass, those of all lanes stage by stage.
    """
    ends = {lane.name: lane.end({task: heads[task] for task in tasks}) for lane, tasks in groups}
    reads = {task: ends[lane.name].of(task) for lane, tasks in groups for task in tasks}
    mask = next((end.mask for end in ends.values() if end.mask is not None), None)
    rows = itertools.zip_longest(*(end.cuts for end in ends.values()))
    cuts = {id(x): x for row in rows for x in row if x is not None}
    return {task: reads[task] for task in heads}, mask, list(cuts.values())


def lanes(scheme: str, trunk: Any, inner: Any, names: Sequence[str]) -> list[Lane]:
    """Returns lanes with trunks of one spec, which begin with one start.

    Args:
        scheme: Name of the scheme, for error messages.
        trunk: The spec of all.
        inner: What they are called with.
        names: A name for each.

    Raises:
        ValueError: If the trunk is one model, of which there are no copies, or has no stages.
    """
    check_copies(scheme, trunk)
    flow = staged_start(scheme, trunk, inner)
    return [Lane(name, reseeded(trunk, number), flow) for number, name in enumerate(names)]


def reseeded(trunk: Trunk, number: int) -> Trunk:
    """Returns the trunk of a number among several of one spec: those that begin alike would stay alike."""
    seed = getattr(trunk, "seed", None)
    return trunk if seed is None else trunk.replace(seed=seed + number)


def check_copies(scheme: str, trunk: Any) -> None:
    """Raises `ValueError` for a trunk of which there cannot be several."""
    if not makes_weights(trunk):
        raise ValueError(
            f"{scheme}: its trunks are several of one spec, such as mtlkeras.trunks.MLP(); received "
            f"{_named(trunk)}, of which there is one only. Schemes for one model: HardSharing, MTAN and "
            "Adapters."
        )


def staged_start(scheme: str, trunk: Any, inner: Any) -> Flow:
    """Returns what the first stage of a trunk begins with.

    Raises:
        ValueError: If it has no stages.
    """
    if not isinstance(trunk, Trunk):
        raise ValueError(
            f"{scheme}: works between the stages of a trunk, which {_named(trunk)} does not name. Name the "
            "layers at which to cut it: mtlkeras.trunks.Staged(model, cuts=(...))."
        )
    if type(trunk).stages is Trunk.stages:
        raise ValueError(
            f"{scheme}: works between the stages of a trunk, and {type(trunk).__name__} has none. See "
            "mtlkeras.trunks.Stage; every trunk of mtlkeras.trunks has stages."
        )
    return trunk.start(inner)


def _named(trunk: Any) -> str:
    return repr(trunk) if isinstance(trunk, Trunk) else f"the model '{trunk.name}'"
