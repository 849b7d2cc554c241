"""The source of each example, where a trunk normalises by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtlkeras._fields import whole_number
from mtlkeras.trunks.stages import Flow

SOURCE = "source"
"""Name of the whole-number input that tells the source of each example; also beside a flow."""

PER_SOURCE = "batch_per_source"


def check_sources(trunk: Any) -> None:
    """Raises `ValueError` unless a trunk that normalises by source says how many there are."""
    if trunk.normalization == PER_SOURCE and trunk.sources is None:
        raise ValueError(
            f"{type(trunk).__name__}: normalization='{PER_SOURCE}' needs sources=, the number of data sets "
            "that the examples come from."
        )
    if trunk.sources is not None:
        whole_number(type(trunk).__name__, "sources", trunk.sources)


def split_source(trunk: Any, inputs: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the inputs without that of the source, if the trunk reads it, and what goes beside the flow.

    Raises:
        ValueError: If it is not there, or is none of whole numbers, one an example.
    """
    if not trunk.reads_source:
        return inputs, {}
    name = type(trunk).__name__
    if not isinstance(inputs, Mapping) or SOURCE not in inputs or len(inputs) < 2:
        raise ValueError(
            f"{name}: normalization='{PER_SOURCE}' reads the source of each example from an input named "
            f"'{SOURCE}' beside the others, such as keras.Input((), dtype='int32', name='{SOURCE}')."
        )
    source = inputs[SOURCE]
    if not source.dtype.startswith(("int", "uint")) or tuple(source.shape[1:]) not in ((), (1,)):
        raise ValueError(
            f"{name}: the input '{SOURCE}' must be a whole number an example, of shape (); received "
            f"{source.dtype} of shape {tuple(source.shape[1:])}."
        )
    return {key: x for key, x in inputs.items() if key != SOURCE}, {SOURCE: source}


def source_of(flow: Flow) -> Any:
    """Returns the source of each example, `None` where the trunk does not read it."""
    return flow.beside.get(SOURCE)
