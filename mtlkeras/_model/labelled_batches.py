"""Batches with labels, of what people give as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import label_error

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
        ValueError: If it is neither, there are no labels or they do not fit, or the data set has no end.
    """
    check_data(data, owner)
    if isinstance(data, (tuple, list)):
        x, y, sample_weight = model._checked_data("test", *data)
        if isinstance(x, (list, tuple)) and len(keras.tree.flatten(model.input)) == 1:
            x = np.asarray(x)
        found = _slices(x, _as_arrays(y), _as_arrays(sample_weight), batch_size, owner)
    else:
        source, _, _ = model._checked_data("test", data)
        found = map(keras.utils.unpack_x_y_sample_weight, _one_pass(source))
    try:
        for x, y, sample_weight in found:
            yield x, model.labels_by_task(y), sample_weight
    except Exception as error:  # Of a check within a pipeline.
        text = label_error(error)
        if text is None:
            raise
        raise ValueError(text) from None


def check_data(data: Any, owner: str) -> None:
    """Checks that data are arrays with labels or a data set that has an end, as far as that can be told.

    Raises:
        ValueError: If they are not.
    """
    is_series = isinstance(data, (tuple, list))
    if len(data) not in (2, 3) if is_series else isinstance(data, (str, Mapping)) or not _has_batches(data):
        received = f"{type(data).__name__}{f' of {len(data)}' if is_series else ''}"
        raise ValueError(
            f"{owner}: data must be (inputs, labels), perhaps with weights, or a data set; "
            f"received {received}."
        )
    endless = hasattr(data, "cardinality") and int(data.cardinality()) == _ENDLESS
    if endless or (isinstance(data, keras.utils.PyDataset) and data.num_batches is None):
        raise ValueError("data: the data set has no end. Give one of some batches, as by .take(10).")


def _has_batches(data: Any) -> bool:
    return isinstance(data, keras.utils.PyDataset) or hasattr(data, "__iter__")


def _one_pass(source: Any) -> Iterator[Any]:
    """Yields the batches of one pass over a data set."""
    if isinstance(source, keras.utils.PyDataset):
        yield from (source[number] for number in range(source.num_batches or 0))
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
