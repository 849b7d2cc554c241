"""What schemes with one shared trunk have in common: modules of the tasks at its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Stage


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
