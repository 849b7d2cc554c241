"""What a pass over the training split tells."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import keras
import numpy as np

from mtlkeras._app.report.evidence.batches import MOST_PASSED, batches_of, rows_of
from mtlkeras._app.report.evidence.labels import flat_labels, thinned, without_padding

_MOST_LABELS = 500_000


class TrainingSplit(NamedTuple):
    """What a pass over the training split told.

    Args:
        labels: Labels in a row, by task, of many pixels some.
        digests: A digest of each example's inputs.
        examples: How many examples there are.
    """

    labels: dict[str, np.ndarray]
    digests: set[bytes]
    examples: int


def training_split(model: Any, data: Any, most_values: int = MOST_PASSED) -> TrainingSplit | None:
    """Passes over the training split.

    Returns:
        What it told; `None` if the split is too large to pass over, since what part of it has not would be
        told as missing.
    """
    labels: dict[str, list[np.ndarray]] = {task: [] for task in model.heads}
    digests: set[bytes] = set()
    examples, values = 0, 0
    for x, y in batches_of(model, data):
        values += sum(a.size for a in keras.tree.flatten(x))
        if values > most_values:
            return None
        examples += rows_of(x)
        digests.update(digests_of(model, x))
        for task, given in y.items():
            head = model.heads[task]
            flat = flat_labels(head, given)
            if head.label_form.by_step or flat.shape[:1] != given.shape[:1]:
                (flat,) = without_padding(flat)
            labels[task].append(thinned(flat, max(1, _MOST_LABELS // 100)))
    found = {task: thinned(np.concatenate(parts), _MOST_LABELS) for task, parts in labels.items() if parts}
    return TrainingSplit(found, digests, examples)


def digests_of(model: Any, x: Any) -> list[bytes]:
    """Returns a digest of each example's inputs, whatever its batch is padded to."""
    open_ended = [len(i.shape) > 1 and i.shape[1] is None for i in keras.tree.flatten(model.input)]
    arrays = keras.tree.flatten(x)
    padded = open_ended if len(open_ended) == len(arrays) else [True] * len(arrays)
    columns = [_bytes_by_row(array, cut) for array, cut in zip(arrays, padded, strict=True)]
    return [hashlib.blake2b(b"|".join(row), digest_size=12).digest() for row in zip(*columns, strict=True)]


def _bytes_by_row(array: np.ndarray, cut: bool) -> list[bytes]:
    """Returns the bytes of each row, without the padding behind it if `cut`."""
    rows = array.reshape(len(array), -1)
    if array.dtype.kind == "O":
        joined = [b"\0".join(v if isinstance(v, bytes) else str(v).encode() for v in row) for row in rows]
        return [row.rstrip(b"\0") for row in joined] if cut else joined
    data = np.ascontiguousarray(rows)
    width = rows.shape[1]
    ends = np.full(len(rows), width)
    if cut and width:
        there = rows[:, ::-1] != 0
        ends = np.where(there.any(axis=1), width - there.argmax(axis=1), 0)
    return [row[:end].tobytes() for row, end in zip(data, ends, strict=True)]
