"""Checks of what a user passes to a model, before Keras sees it.

Keras maps a misspelt loss weight to another task without a word and answers other slips with
dumps of arrays, so every key and every label goes through here first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras.heads.base import Head


def by_task(value: Any, tasks: Iterable[str], argument: str) -> dict[str, Any]:
    """Returns a dict by task for an argument of `compile` or `fit`.

    Raises:
        ValueError: If it is not a dict (with a single task a bare value will do), or names
            an unknown task.
    """
    tasks = list(tasks)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        if len(tasks) == 1 and not (argument == "labels" and _lists_outputs(value)):
            return {tasks[0]: value}
        raise ValueError(
            f"{argument}: expected a dict by task ({', '.join(map(repr, tasks))}); "
            f"received {type(value).__name__}."
        )
    for task in value:
        if task not in tasks:
            raise unknown_name("task", task, tasks, argument)
    return dict(value)


def _lists_outputs(value: Any) -> bool:
    """Returns whether a list is one of outputs, as Keras knows them, and not of labels."""
    return isinstance(value, (list, tuple)) and len(value) == 1 and hasattr(value[0], "shape")


def joint_metrics(metrics: Any, heads: Mapping[str, Head]) -> list[Any]:
    """Returns metrics over several tasks as a list, each for tasks that the model has.

    Raises:
        ValueError: If one names no tasks, an unknown one, or one whose answers it cannot judge.
    """
    if metrics is None:
        return []
    metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    for metric in metrics:
        if not getattr(metric, "tasks", ()):
            raise ValueError(
                f"joint_metrics: expected a metric with tasks, such as "
                f"mtlkeras.metrics.ExactMatch(('a', 'b')); received {metric!r}."
            )
        for task in metric.tasks:
            if task not in heads:
                raise unknown_name("task", task, heads, f"joint_metrics, metric '{metric.name}'")
            if heads[task].label_form.are_numbers:
                raise ValueError(
                    f"joint_metrics, metric '{metric.name}': the head of task '{task}' has no classes."
                )
            if getattr(metric, "takes", None) == "log_likelihoods" and not heads[task].answer_classes:
                raise ValueError(
                    f"joint_metrics, metric '{metric.name}': it is for heads Classification, Ordinal and "
                    f"MultiLabel; that of task '{task}' is {type(heads[task]).__name__}."
                )
    return metrics


def class_weights(class_weight: Any, heads: Mapping[str, Head]) -> dict[str, np.ndarray]:
    """Returns by task one weight a class, each checked by its head.

    Raises:
        ValueError: For an unknown task or class, or a head without classes.
    """
    by_class = (Mapping, list, tuple, np.ndarray)
    if class_weight is not None and not (
        isinstance(class_weight, Mapping)
        and all(v is None or isinstance(v, by_class) for v in class_weight.values())
    ):
        if len(heads) > 1 or not isinstance(class_weight, by_class):
            raise ValueError(
                f"class_weight: expected by task ({', '.join(map(repr, heads))}) a dict of {{class: weight}}"
                f", a weight for each class, or 'balanced'; received {class_weight!r}."
            )
        class_weight = {next(iter(heads)): class_weight}
    vectors = {}
    for task, value in by_task(class_weight, heads, "class_weight").items():
        if value is None or (isinstance(value, Mapping) and not value):
            continue
        try:
            vectors[task] = heads[task].class_weights(value)
        except ValueError as error:
            raise ValueError(f"class_weight of task '{task}': {error}") from None
    return vectors
