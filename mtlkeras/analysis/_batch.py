"""Batches to look at a model with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._model.ways_in import check_batch


def first_batch(model: Any, data: Any) -> tuple[Any, Any, Any]:
    """Returns inputs, labels by task and sample weights of one batch, checked.

    Args:
        model: A compiled `MultiTaskModel`.
        data: `(x, y)` or `(x, y, sample_weight)`, taken whole, or a data set, of which the first batch is.

    Raises:
        ValueError: If there is no batch, it has no labels, or the labels do not fit.
    """
    batch = next(itertools.islice(batches(data), 1), None)
    if batch is None:
        raise ValueError("The data set has no batch.")
    return checked(model, batch)


def batches(data: Any) -> Iterator[Any]:
    """Yields the batches of a data set; arrays are one."""
    if isinstance(data, (tuple, list)):
        yield data
    elif isinstance(data, keras.utils.PyDataset):
        yield from (data[i] for i in range(data.num_batches or 0))
    else:
        yield from data


def checked(model: Any, batch: Any) -> tuple[Any, Any, Any]:
    """Returns inputs, labels by task, of all tasks, and sample weights of a batch.

    Raises:
        ValueError: If it has no labels, or they do not fit.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(_arrays(batch))
    if y is None:
        raise ValueError(f"No labels: give (x, y) with a dict y by task ({', '.join(model.output)}).")
    x, y, *more = check_batch((x, y) if sample_weight is None else (x, y, sample_weight), model.heads)
    return x, y, more[0] if more else None


def _arrays(batch: Any) -> Any:
    """Returns a batch with NumPy arrays in place of a backend's tensors."""
    if not isinstance(batch, (tuple, list)):
        return batch
    return tuple(
        keras.tree.map_structure(lambda x: None if x is None else np.asarray(x), part) for part in batch
    )
