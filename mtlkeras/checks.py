"""Checks of what a user passes to a model, before Keras sees it.

Keras maps a misspelt loss weight to another task without a word and answers other slips with
dumps of arrays, so every key and every label goes through here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mtlkeras._errors import unknown_name

if TYPE_CHECKING:  # Layers need the backend, the backend these checks, and heads need layers.
    from mtlkeras.heads.base import Head

# Frame the message of a check inside a data pipeline, which comes back within TensorFlow's own.
_MARK, _END = "<label check> ", "</label check>"


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
        if len(tasks) == 1 and not (isinstance(value, (list, tuple)) and argument == "labels"):
            return {tasks[0]: value}
        raise ValueError(
            f"{argument}: expected a dict by task ({', '.join(map(repr, tasks))}); "
            f"received {type(value).__name__}."
        )
    for task in value:
        if task not in tasks:
            raise unknown_name("task", task, tasks, argument)
    return dict(value)


def joint_metrics(metrics: Any, heads: Mapping[str, Head]) -> list[Any]:
    """Returns metrics over several tasks as a list, each for tasks that the model has.

    Raises:
        ValueError: If one names no tasks, an unknown one, or one whose answer is a number.
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
            if heads[task].class_count((None,)) is None:
                raise ValueError(
                    f"joint_metrics, metric '{metric.name}': the head of task '{task}' has no classes."
                )
    return metrics


def label_arrays(y: Any, heads: Mapping[str, Head]) -> dict[str, Any]:
    """Returns labels given as arrays, as a checked dict of those that are there.

    Raises:
        ValueError: For an unknown task, a label outside the classes or of the wrong shape.
    """
    labels = {task: value for task, value in by_task(y, heads, "labels").items() if value is not None}
    for task, value in labels.items():
        array = np.asarray(value)
        try:
            heads[task].check(array)
        except ValueError as error:
            raise ValueError(f"Labels of task '{task}': {error}") from None
        labels[task] = array if isinstance(value, (list, tuple)) else value
    return labels


def weight_arrays(
    sample_weight: Any, labels: Mapping[str, Any], tasks: Iterable[str]
) -> dict[str, Any] | None:
    """Returns sample weights for every labelled task; one array stands for all, ones for none.

    Raises:
        ValueError: For an unknown task, or weights of another length than the labels.
    """
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, Mapping):
        given = dict.fromkeys(labels, sample_weight)
    else:
        given = by_task(sample_weight, tasks, "sample_weight")
    weights = {}
    for task, label in labels.items():
        weight = given.get(task)
        weights[task] = np.ones(len(label), "float32") if weight is None else np.asarray(weight, "float32")
        if len(weights[task]) != len(label):
            raise ValueError(
                f"sample_weight of task '{task}': expected {len(label)} weights, "
                f"received {len(weights[task])}."
            )
    return weights


def class_weights(class_weight: Any, heads: Mapping[str, Head]) -> dict[str, dict]:
    """Returns class weights by task, each checked by its head.

    Raises:
        ValueError: For an unknown task or class, or a head without classes.
    """
    if class_weight is not None and not (
        isinstance(class_weight, Mapping)
        and all(isinstance(v, Mapping) or v is None for v in class_weight.values())
    ):
        if len(heads) > 1 or not isinstance(class_weight, Mapping):
            raise ValueError(
                f"class_weight: expected a dict of {{class: weight}} by task "
                f"({', '.join(map(repr, heads))}); received {class_weight!r}."
            )
        class_weight = {next(iter(heads)): class_weight}
    weights = {
        task: dict(value) for task, value in by_task(class_weight, heads, "class_weight").items() if value
    }
    for task, value in weights.items():
        try:
            heads[task].weigh_classes(np.zeros(1, "int32"), value)
        except ValueError as error:
            raise ValueError(f"class_weight of task '{task}': {error}") from None
    return weights


def check_spec(element_spec: Any, heads: Mapping[str, Head]) -> None:
    """Checks the tasks in the element spec of a `tf.data.Dataset`.

    Raises:
        ValueError: For an unknown task among labels or sample weights.
    """
    if not isinstance(element_spec, tuple):
        return
    for part, argument in zip(element_spec[1:], ("labels", "sample_weight"), strict=False):
        if argument == "labels" or isinstance(part, Mapping):
            by_task(part, heads, argument)


def check_dataset(dataset: Any, heads: Mapping[str, Head]) -> Any:
    """Returns a `tf.data.Dataset` that checks each batch's class labels as it is read."""
    import tensorflow as tf

    spec = dataset.element_spec
    check_spec(spec, heads)
    if not isinstance(spec, tuple) or len(spec) < 2:
        return dataset
    found = {
        task: heads[task].class_count(part.shape) for task, part in by_task(spec[1], heads, "labels").items()
    }
    counts = {task: count for task, count in found.items() if count is not None}
    if not counts:
        return dataset

    def checked(*batch: Any) -> Any:
        labels = by_task(batch[1], heads, "labels")
        failures = [_outside(task, labels[task], count) for task, count in counts.items()]
        with tf.control_dependencies([failure for failure in failures if failure is not None]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(checked, num_parallel_calls=tf.data.AUTOTUNE)


def _outside(task: str, y: Any, count: int) -> Any:
    """Returns the operation that fails if a label is neither missing nor one of the classes."""
    import tensorflow as tf

    known = tf.cast(tf.where(tf.math.is_nan(y), -1.0, y) if y.dtype.is_floating else y, tf.int64)
    text = framed(f"Labels of task '{task}': a label is outside the classes 0 to {count - 1}.")
    return tf.debugging.Assert(tf.reduce_all((known >= -1) & (known < count)), [text])


def framed(text: str) -> str:
    """Returns a message that `label_error` finds in what TensorFlow makes of it."""
    return f"{_MARK}{text}{_END}"


def label_error(error: Exception) -> str | None:
    """Returns the message of a failed label check inside a data pipeline, if it is one."""
    found = re.search(f"{_MARK}(.*?{_END})", str(error), re.DOTALL)
    return found.group(1).replace(_END, "").replace("\\'", "'") if found else None
