"""Batches of a split as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._model.label_arrays import label_array

MOST_PASSED = 400_000_000
"""How many numbers of a split are passed over."""


def batches_of(model: Any, data: Any) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Yields inputs and checked labels by task of the batches of a split, as arrays."""
    heads = model.heads
    for batch in data:
        labels = model.labels_by_task(batch[1])
        x = keras.tree.map_structure(np.asarray, batch[0])
        yield x, {task: label_array(task, heads[task], values) for task, values in labels.items()}


def rows_of(x: Any) -> int:
    """Returns how many examples inputs are for."""
    return len(keras.tree.flatten(x)[0])
