"""Some examples of a split in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from mtlkeras._app.report.evidence.batches import MOST_PASSED, batches_of, rows_of
from mtlkeras._missing import MISSING
from mtlkeras.data._sequences import joined

MOST_EXAMPLES = 1000
"""How many examples of the test split are looked at."""
MOST_VALUES = 30_000_000
"""How many numbers their inputs and labels may have in all."""


class Sample(NamedTuple):
    """Some examples of a split.

    Args:
        x: Their inputs, arrays in the structure that the model takes.
        y: Their labels by task, checked.
        rows: Which examples of the split they are.
        whole: Whether they are the whole split.
    """

    x: Any
    y: dict[str, np.ndarray]
    rows: np.ndarray
    whole: bool

    @property
    def examples(self) -> int:
        """How many they are."""
        return len(self.rows)


class _Part(NamedTuple):
    """A batch, and the place of its first example in the split."""

    start: int
    x: Any
    y: dict[str, np.ndarray]


def some_examples(model: Any, data: Any, most: int = MOST_EXAMPLES, most_values: int = MOST_VALUES) -> Sample:
    """Returns examples of a split at equal distances, and more of tasks that few of them are for.

    Args:
        model: A `MultiTaskModel`.
        data: Batches of inputs and labels.
        most: How many examples, but for those of such tasks.
        most_values: How many numbers their inputs and labels may have; at least one example is taken.

    Raises:
        ValueError: If there is no batch, or labels do not fit.
    """
    parts: list[_Part] = []
    step, passed, start, rare = 1, 0, 0, _Rare(0)
    for number, (x, y) in enumerate(batches_of(model, data)):
        part = _Part(start, x, y)
        start += rows_of(x)
        size = sum(a.size for a in keras.tree.flatten((x, y)))
        if not passed:
            most = max(1, min(most, most_values * rows_of(x) // max(size, 1)))
            rare = _Rare(max(1, most // 10))
        passed += size
        if number % step:
            rare.offer(part)
        else:
            parts.append(part)
        if sum(rows_of(part.x) for part in parts) > 2 * most and len(parts) > 1:
            # Too many: every second batch from here on, and before.
            for left_out in parts[1::2]:
                rare.offer(left_out)
            parts, step = parts[::2], 2 * step
        if passed > MOST_PASSED:
            break
    if not start:
        raise ValueError("the split has no examples")
    return _sample(parts, rare.kept_beside(parts), most, start, passed <= MOST_PASSED)


def _sample(parts: list[_Part], more: list[_Part], most: int, rows: int, to_the_end: bool) -> Sample:
    """Returns at most `most` examples of some batches, and all of some more."""
    places = [np.arange(part.start, part.start + rows_of(part.x)) for part in (*parts, *more)]
    found = np.concatenate(places)
    first = sum(rows_of(part.x) for part in parts)
    chosen = np.unique(np.linspace(0, first - 1, min(most, first)).astype("int64"))
    chosen = np.concatenate([chosen, np.arange(first, len(found))])
    chosen = chosen[np.argsort(found[chosen])]
    x = keras.tree.map_structure(
        lambda *arrays: _joined_inputs(arrays)[chosen], *(part.x for part in (*parts, *more))
    )
    y = {task: v[chosen] for task, v in _joined_labels([part.y for part in (*parts, *more)]).items()}
    return Sample(x, y, found[chosen], to_the_end and len(chosen) == rows)


class _Rare:
    """Batches that were left out, of tasks that few of those are for that were kept.

    Args:
        enough: How many examples with a label of a task are not few.
    """

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._parts: list[_Part] = []
        self._counts: dict[str, int] = {}

    def offer(self, part: _Part) -> None:
        """Keeps a batch if it has labels of a task that few are kept of."""
        known = {task: _count(labels) for task, labels in part.y.items()}
        if any(n and self._counts.get(task, 0) < self._enough for task, n in known.items()):
            self._parts.append(part)
            self._counts = {task: self._counts.get(task, 0) + n for task, n in known.items()} | {
                task: n for task, n in self._counts.items() if task not in known
            }

    def kept_beside(self, parts: Sequence[_Part]) -> list[_Part]:
        """Returns those of tasks that few examples of other batches are for."""
        tasks = {task for part in self._parts for task in part.y}
        few = {t for t in tasks if sum(_count(p.y[t]) for p in parts if t in p.y) < self._enough}
        return [part for part in self._parts if any(_count(part.y[t]) for t in few & set(part.y))]


def _count(labels: np.ndarray) -> int:
    """Returns how many examples have a label."""
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    return int(known.reshape(len(labels), -1).any(axis=1).sum())


def _joined_inputs(parts: Sequence[np.ndarray]) -> np.ndarray:
    if parts[0].dtype.kind != "f":
        return joined(parts)
    longest = np.max([part.shape for part in parts], axis=0)
    widths = [[(0, 0), *((0, n) for n in (longest - part.shape)[1:])] for part in parts]
    return np.concatenate([np.pad(part, width) for part, width in zip(parts, widths, strict=True)])


def _joined_labels(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joins labels by task; a task that a batch has no labels of has missing ones there."""
    rows = [len(next(iter(part.values()))) if part else 0 for part in parts]
    found = {}
    for task in dict.fromkeys(task for part in parts for task in part):
        like = next(part[task] for part in parts if task in part)
        missing = np.nan if like.dtype.kind == "f" else MISSING
        filled = [
            part[task] if task in part else np.full((n, *like.shape[1:]), missing, like.dtype)
            for part, n in zip(parts, rows, strict=True)
        ]
        found[task] = joined(filled, MISSING)
    return found
