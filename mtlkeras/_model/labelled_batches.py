"""Batches with labels, of what people give as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

_ENDLESS = -1  # What TensorFlow says of data sets that repeat for ever.


def labelled_batches(
    model: Any, data: Any, owner: str, batch_size: int | None = None
) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Yields inputs, labels by task and sample weights, checked as `evaluate` does.

    Args:
        model: A `MultiTaskModel`.
        data: `(inputs, labels)` or `(inputs, labels, sample weights)` of arrays, or a data set of batches.
        owner: Who asks, for the error message.
        batch_size: Examples of a batch, of arrays; `None` makes one of them.

    Raises:
        ValueError: If there are no labels, or the data set has no end.
    """
    if isinstance(data, (tuple, list)):
        if len(data) not in (2, 3):
            raise ValueError(f"{owner}: data must be (inputs, labels), perhaps with weights, or a data set.")
        x, y, sample_weight = model._checked_data("test", *data)
        if isinstance(x, (list, tuple)) and len(keras.tree.flatten(model.input)) == 1:
            x = np.asarray(x)
        found = _slices(x, _as_arrays(y), _as_arrays(sample_weight), batch_size, owner)
    else:
        source, _, _ = model._checked_data("test", data)
        found = map(keras.utils.unpack_x_y_sample_weight, _finite(source))
    for x, y, sample_weight in found:
        yield x, model.labels_by_task(y), sample_weight


def _finite(source: Any) -> Iterator[Any]:
    """Yields the batches of one pass over a data set."""
    if hasattr(source, "cardinality") and int(source.cardinality()) == _ENDLESS:
        raise ValueError("data: the data set has no end. Give one of some batches, as by .take(10).")
    if isinstance(source, keras.utils.PyDataset):
        if source.num_batches is None:
            raise ValueError("data: the data set has no end. Give one of some batches.")
        yield from (source[number] for number in range(source.num_batches))
    else:
        yield from source


def _as_arrays(by_task: Any) -> Any:
    """Returns labels or weights, lists by task as arrays."""
    if not isinstance(by_task, Mapping):
        return np.asarray(by_task) if isinstance(by_task, (list, tuple)) else by_task
    return {
        task: np.asarray(value) if isinstance(value, (list, tuple)) else value
        for task, value in by_task.items()
    }


def _slices(
    x: Any, y: Any, sample_weight: Any, size: int | None, owner: str
) -> Iterator[tuple[Any, Any, Any]]:
    rows = len(keras.tree.flatten(x)[0])
    size = max(rows, 1) if size is None else size
    if size < 1:
        raise ValueError(f"{owner}: batch_size must be at least 1; received {size!r}.")

    def part(value: Any, start: int) -> Any:
        return None if value is None else np.asarray(value)[start : start + size]

    for start in range(0, rows, size):
        yield (
            keras.tree.map_structure(lambda v, at=start: part(v, at), x),
            keras.tree.map_structure(lambda v, at=start: part(v, at), y),
            keras.tree.map_structure(lambda v, at=start: part(v, at), sample_weight),
        )
