"""Values by epoch or look, those that are no numbers left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtlkeras._app.checks.facts import TaskFacts


def numbers(values: Sequence[float]) -> np.ndarray:
    """Returns the finite values of a series as float64."""
    array = np.asarray([np.nan if value is None else value for value in values], "float64")
    return array[np.isfinite(array)]


def losses(task: TaskFacts, name: str) -> np.ndarray:
    """Returns a task's losses by epoch; none if one is no finite number: a check of its own."""
    whole = task.history.get(name, ())
    found = numbers(whole)
    return found if len(found) == len(whole) else found[:0]
