"""Data sets in whose batches sources take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtlkeras.data.report import attach, find_all

_ALTERNATION = "_mtlkeras_alternation"


def mark_alternating(dataset: Any, sources: Sequence[str]) -> Any:
    """Marks a data set each of whose batches is of one of several sources; returns it.

    Args:
        dataset: A `tf.data.Dataset` or a `keras.utils.PyDataset`.
        sources: Names of the sources.
    """
    return attach(dataset, _ALTERNATION, tuple(sources))


def alternating_sources(dataset: Any) -> tuple[str, ...]:
    """Returns the names of the sources that take turns in a data set or those it was made of, if any do."""
    if not hasattr(dataset, "element_spec"):
        return getattr(dataset, _ALTERNATION, ())
    return next(iter(find_all(dataset, _ALTERNATION)), ())
