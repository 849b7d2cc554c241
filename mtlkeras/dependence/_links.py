"""The links of a chain: the answers of tasks of tasks that depend on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import TaskDict, TensorsByTask
from mtlkeras.dependence._tree import log_sum
from mtlkeras.heads import Head

# The log of a probability of zero, far from the end of float32 also where several are added.
NEVER = -1e30


class Link(NamedTuple):
    """One answer: that of a task, or one of its yes/no labels."""

    task: str
    entry: int | None = None


def all_links(task: str, head: Head) -> list[Link]:
    """Returns every link of a task, in order."""
    if not head.label_form.by_entry:
        return [Link(task)]
    return [Link(task, entry) for entry in range(len(head.answer_classes))]


def task_of(name: str) -> str:
    """Returns the task that a name of links belongs to."""
    return name.split("/", 1)[0]


def named_links(name: str, heads: Mapping[str, Head], where: str) -> list[Link]:
    """Returns the links that a name stands for: a task, or one label of a task as `"task/label"`.

    Raises:
        ValueError: If there is no such task or label, or the task's answers are not classes.
    """
    task, _, label = name.partition("/")
    if task not in heads:
        raise unknown_name("task", task, heads, where)
    check_takes_part(task, heads[task])
    links = all_links(task, heads[task])
    if "/" not in name:
        return links
    if links[0].entry is None:
        raise ValueError(f"{where}: '{name}' names a label, but task '{task}' is no MultiLabel.")
    names = [str(n) for n in getattr(heads[task], "label_names", None) or range(len(links))]
    if label in names:
        return [links[names.index(label)]]
    if label.isdecimal() and int(label) < len(links):
        return [links[int(label)]]
    raise unknown_name("label", label, names, f"'{name}' in {where}")


def check_takes_part(task: str, head: Head) -> None:
    """Raises `ValueError` unless the answers of a head can depend on others."""
    if not head.answer_classes:
        raise ValueError(
            f"TaskChain: the tasks of a chain are of mtlkeras.heads.Classification, Ordinal or MultiLabel; "
            f"that of task '{task}' is {type(head).__name__}."
        )
    for field in ("label_smoothing", "focal_gamma"):
        if getattr(head, field, 0):
            raise ValueError(
                f"TaskChain: the loss of task '{task}' is a likelihood, which {field} of its head "
                f"would change. Leave {field} out."
            )


def split(links: Sequence[Link], values: Mapping[str, Any]) -> list[Any]:
    """Returns by link its part of tensors by task; `None` for a task that is not there.

    Those of a task with several links have them on axis 1.
    """
    parts = {
        link.task: ops.unstack(values[link.task], axis=1)
        for link in links
        if link.entry == 0 and link.task in values
    }
    return [
        None if task not in values else values[task] if entry is None else parts[task][entry]
        for task, entry in links
    ]


def merged(links: Sequence[Link], values: Sequence[Any]) -> dict[str, Any]:
    """Returns tensors by task of those by link; the opposite of `split`."""
    found: dict[str, Any] = {}
    entries: dict[str, dict[int, Any]] = {}
    for (task, entry), value in zip(links, values, strict=True):
        if entry is None:
            found[task] = value
        else:
            entries.setdefault(task, {})[entry] = value
    stacked = {task: ops.stack([of[i] for i in sorted(of)], axis=1) for task, of in entries.items()}
    return {task: found[task] if task in found else stacked[task] for task, _ in links}


def class_scores(links: Sequence[Link], scores: TensorsByTask) -> list[Any]:
    """Returns by link the scores of its classes, float32 `(batch, classes)`.

    Those of a yes/no label are 0 and its log-odds.
    """
    by_label = {task for task, entry in links if entry is not None}
    values = {}
    for task in dict.fromkeys(task for task, _ in links):
        own = ops.cast(scores[task], "float32")
        values[task] = ops.stack([ops.zeros_like(own), own], axis=-1) if task in by_label else own
    return split(links, values)


def log_evidence(labels: TaskDict[tuple[Any, Any]], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Returns by task log q for labels, or rows of probabilities q; zeros where none is known.

    Args:
        labels: Labels and the bool mask of those that are known, by task.
        sizes: Number of classes of each task's links.

    Returns:
        Float32 of the shape of the mask with an axis of classes behind it.
    """
    found = {}
    for task, (values, known) in labels.items():
        unknown = ops.expand_dims(ops.logical_not(known), -1)
        if len(values.shape) == len(known.shape):
            fits = ops.equal(
                ops.expand_dims(ops.cast(values, "int32"), -1), ops.arange(sizes[task], dtype="int32")
            )
            found[task] = ops.where(ops.logical_or(fits, unknown), 0.0, NEVER)
        else:
            found[task] = ops.where(unknown, 0.0, _log(values))
    return found


def surprise(scores: Any, values: Any, known: Any) -> Any:
    """Returns -log of what a distribution gives to labels, or to rows of probabilities; 0 where not known.

    Args:
        scores: Logs of the distribution but for a constant, float32 with the classes on the last axis.
        values: Labels of the mask's shape, or rows with an axis of classes behind it.
        known: Bool mask of the labels that are known.
    """
    if len(values.shape) == len(known.shape):
        classes = ops.where(known, ops.cast(values, "int32"), 0)
        logs = ops.sparse_categorical_crossentropy(classes, scores, from_logits=True)
    else:
        logs = log_sum(scores, -1) - log_sum(scores + _log(values), -1)
    return ops.where(known, logs, 0.0)


def _log(rows: Any) -> Any:
    """Returns logs of probabilities, float32; of zero one that is finite."""
    rows = ops.cast(rows, "float32")
    possible = rows > 0
    return ops.where(possible, ops.log(ops.where(possible, rows, 1.0)), NEVER)
