"""The answers of a run's model, as lines that people and programs read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras.data._sequences import joined


def first_examples(dataset: Any, limit: int | None) -> Any:
    """Returns the inputs of a data set's first examples as arrays.

    Args:
        dataset: A batched `tf.data.Dataset` of inputs and labels.
        limit: How many; `None` for all.
    """
    parts, count = [], 0
    for batch in dataset:
        parts.append(keras.tree.map_structure(np.asarray, batch[0]))
        count += len(keras.tree.flatten(parts[-1])[0])
        if limit is not None and count >= limit:
            break
    whole = keras.tree.map_structure(lambda *arrays: joined(arrays), *parts)
    return head_of(whole, limit)


def head_of(inputs: Any, limit: int | None) -> Any:
    """Returns the first examples of inputs given as arrays."""
    return inputs if limit is None else keras.tree.map_structure(lambda array: array[:limit], inputs)


def json_lines(labels: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yields a JSON object per example, with each task's answer as `predict_labels` gives it."""
    for answers in zip(*labels.values(), strict=True):
        yield json.dumps(
            {task: _plain(a) for task, a in zip(labels, answers, strict=True)}, ensure_ascii=False
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.item()) if value.size == 1 else value.tolist()
    return value.item() if hasattr(value, "item") else value
