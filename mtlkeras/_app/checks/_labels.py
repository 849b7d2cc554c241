"""Labels counted, whatever form they have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtlkeras._app.checks.facts import TaskFacts


def has_several(task: TaskFacts, labels: np.ndarray) -> bool:
    """Whether labels are yes or no, several an example."""
    return task.classes is not None and labels.ndim > 1


def known(labels: np.ndarray, are_numbers: bool) -> np.ndarray:
    """Returns a mask of the labels that are there: numbers but for NaN, classes but for -1."""
    values = np.asarray(labels, "float64")
    return np.isfinite(values) if are_numbers else np.nan_to_num(values, nan=-1.0) != -1.0


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns how many labels each class has."""
    values = np.asarray(labels, "float64")
    values = values[np.nan_to_num(values, nan=-1.0) >= 0].astype("int64")
    return np.bincount(values, minlength=classes)


def no_yes_counts(labels: np.ndarray) -> np.ndarray:
    """Returns for each column how often it is no and yes, shape `(columns, 2)`."""
    values = np.nan_to_num(np.asarray(labels, "float64"), nan=-1.0)
    return np.stack([(values == 0).sum(axis=0), (values == 1).sum(axis=0)], axis=1)


def name_of(classes: Sequence[str], place: int | np.integer) -> str:
    """Returns the name of a class, its index where it has none."""
    return f"'{classes[int(place)]}'" if place < len(classes) else f"number {place}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns names in a row, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def percent(share: float) -> str:
    """Returns a share as people read it, a small one with more digits."""
    return f"{100 * share:.2g}%" if 0 < share < 0.01 else f"{100 * share:.1f}%"
