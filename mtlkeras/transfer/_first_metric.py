"""What tells how good a task is: the first metric of its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtlkeras._keras_private import direction_of
from mtlkeras._model.recompiling import logged_metrics
from mtlkeras.heads import Head


def first_metric(model: Any, task: str, head: Head, logs: Mapping[str, float]) -> tuple[str, str]:
    """Returns a task's first metric without the task's name, its loss without any, and its direction."""
    found = [name.removeprefix(f"{task}_") for name in logs if name.startswith(f"{task}_")]
    given = head.default_metrics if head.metrics is None else head.metrics
    first = next((m if isinstance(m, str) else getattr(m, "name", None) for m in given), None)
    metric = first if first in found else next((name for name in found if name != "loss"), "loss")
    if metric == "loss":
        return metric, "down"
    return metric, direction_of(logged_metrics(model).get(f"{task}_{metric}")) or "down"
