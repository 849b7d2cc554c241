"""Trunks of the tasks in lockstep, with units between their stages that mix them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mtlkeras.layers.cross_stitch import CrossStitchUnit
from mtlkeras.sharing._along import check_stage_names, chosen_stages
from mtlkeras.sharing._lanes import Lane, lanes
from mtlkeras.trunks.stages import Flow


def stitched(
    scheme: Any, trunk: Any, inner: Any, tasks: Sequence[str], unit: Callable[..., CrossStitchUnit]
) -> tuple[list[Lane], list[list[Flow]]]:
    """Returns a lane for each task, whose stages have run, and what flowed in each behind its stages.

    Args:
        scheme: The spec of the scheme, with a field `stages`: those that have a unit behind them.
        trunk: The spec of all lanes.
        inner: What they are called with.
        tasks: Their names.
        unit: Called with `name=` for a unit.

    Raises:
        ValueError: If the trunk is one model, of which there are no copies, or `stages` names one
            that it has not.
    """
    own = lanes(type(scheme).__name__, trunk, inner, tasks)
    stages = own[0].stages
    stitches = chosen_stages(type(scheme).__name__, scheme.stages, stages, trunk)
    flows: list[list[Flow]] = [[] for _ in own]
    for place, stage in enumerate(stages):
        for lane in own:
            lane.run(place)
        if stage.name in stitches:
            mixed = unit(name=f"{stage.name}_stitch")([lane.flow.x for lane in own])
            for lane, x in zip(own, mixed, strict=True):
                lane.put(place, x)
        for passed, lane in zip(flows, own, strict=True):
            passed.append(lane.flow)
    return own, flows


def check_stitches(scheme: Any, *shares: str) -> None:
    """Raises `ValueError` if a scheme's `stages` do not fit, or one of some fields is not in [0, 1]."""
    name = type(scheme).__name__
    for field in shares:
        value = getattr(scheme, field)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {field} must be in [0, 1]; received {value}.")
    check_stage_names(name, scheme.stages)
