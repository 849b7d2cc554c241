"""What schemes with one shared trunk have in common: modules of the tasks at its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from mtlkeras._errors import unknown_name
from mtlkeras.sharing._lanes import staged_start
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage


class Begun(NamedTuple):
    """One shared trunk before its first stage: its inputs, what flows in, its stages, and the chosen ones."""

    inner: Any
    flow: Flow
    stages: Sequence[Stage]
    names: list[str]


def begun(owner: str, names: Sequence[str] | None, trunk: Any, inputs: Any) -> Begun:
    """Begins one shared trunk, with modules of the tasks at some of its stages.

    Args:
        owner: Name of the scheme, for error messages.
        names: Names of the stages with modules; `None` for all.
        trunk: The trunk.
        inputs: The inputs that it is going to be called with.

    Raises:
        ValueError: If the trunk has no stages, or none of a name.
    """
    inner = trunk.own_inputs(inputs) if isinstance(trunk, Trunk) else None
    flow = staged_start(owner, trunk, inner)
    stages = trunk.stages(flow)
    return Begun(inner, flow, stages, chosen_stages(owner, names, stages, trunk))


def check_stage_names(owner: str, names: Sequence[str] | None) -> None:
    """Raises `ValueError` for a field of stages' names that names none, or one twice."""
    if names is not None and not names:
        raise ValueError(f"{owner}: stages must name at least one stage, or be None for all; received ().")
    if names is not None and len(set(names)) != len(names):
        raise ValueError(f"{owner}: stages must be distinct; received {tuple(names)!r}.")


def chosen_stages(
    owner: str, names: Sequence[str] | None, stages: Sequence[Stage], trunk: Trunk
) -> list[str]:
    """Returns the names of the stages at which there are modules, in the trunk's order.

    Raises:
        ValueError: If a name is none of the trunk's.
    """
    known = [stage.name for stage in stages]
    for name in names or ():
        if name not in known:
            raise unknown_name("stage", name, known, f"stages= of {owner} on {trunk!r}")
    return [name for name in known if names is None or name in names]


def each_float(x: Any, function: Callable[[Any, str], Any]) -> Any:
    """Returns what a stage gave with each tensor of floats changed.

    Args:
        x: A tensor, or the last outputs of a model by name.
        function: Called with a tensor and what its name adds to that of the stage: `""`, or `"_"` and the
            name among several.
    """
    if isinstance(x, dict):
        return {name: function(value, f"_{name}") if _is_float(value) else value for name, value in x.items()}
    return function(x, "") if _is_float(x) else x


def _is_float(x: Any) -> bool:
    return isinstance(x, keras.KerasTensor) and keras.backend.is_float_dtype(x.dtype)
