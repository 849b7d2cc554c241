"""A batch to look at a model with."""

from __future__ import annotations

import itertools
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
    if not isinstance(data, (tuple, list)):
        data = next(iter(itertools.islice(_batches(data), 1)), None)
        if data is None:
            raise ValueError("The data set has no batch.")
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(_arrays(data))
    if y is None:
        raise ValueError(f"No labels: give (x, y) with a dict y by task ({', '.join(model.output)}).")
    x, y, *more = check_batch((x, y) if sample_weight is None else (x, y, sample_weight), model.heads)
    return x, y, more[0] if more else None


def _batches(data: Any) -> Any:
    if isinstance(data, keras.utils.PyDataset):
        return (data[i] for i in range(data.num_batches or 1))
    return data


def _arrays(batch: Any) -> Any:
    """Returns a batch with NumPy arrays in place of a backend's tensors."""
    if not isinstance(batch, (tuple, list)):
        return batch
    return tuple(
        keras.tree.map_structure(lambda x: None if x is None else np.asarray(x), part) for part in batch
    )
