"""Labels as columns of classes or numbers, whatever heads they are for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mtlkeras._model.ways_in import check_arrays
from mtlkeras.heads.base import Head


class Column(NamedTuple):
    """One kind of label that examples have.

    Args:
        task: The task.
        name: That of the task, or `task/label` where the task has several columns.
        are_numbers: Whether the labels are numbers, and not classes.
        values: Float64 with NaN where a label is missing, shape `(examples,)`, or `(examples, places)` for
            labels of steps and pixels.
    """

    task: str
    name: str
    are_numbers: bool
    values: np.ndarray


def heads_of(model_or_heads: Any, asked_by: str) -> dict[str, Head]:
    """Returns the heads by task of a model, or those given.

    Raises:
        ValueError: If it is neither a model with heads nor a dict of heads.
    """
    heads = getattr(model_or_heads, "heads", model_or_heads)
    if not isinstance(heads, Mapping) or not all(isinstance(head, Head) for head in heads.values()):
        raise ValueError(
            f"{asked_by}: expected a MultiTaskModel or a dict of heads by task; received {model_or_heads!r}."
        )
    return dict(heads)


def label_columns(y: Any, heads: Mapping[str, Head]) -> list[Column]:
    """Returns the columns of labels, in the order of the heads.

    Args:
        y: Labels by task as a model takes them. A task without labels has no column.
        heads: The heads by task.

    Raises:
        ValueError: If a task is unknown, or labels do not fit its head.
    """
    labels, _ = check_arrays(y, None, heads)
    return [
        column
        for task, head in heads.items()
        if task in labels
        for column in _columns(task, head, labels[task])
    ]


def _columns(task: str, head: Head, labels: np.ndarray) -> list[Column]:
    form = head.label_form
    if not form.by_entry:
        return [Column(task, task, False, _classes(form, labels))]
    count = form.count
    values = with_gaps(labels, form.are_numbers).reshape(len(labels), _places(labels) // count, count)
    by_step = values.shape[1] > 1
    return [
        Column(task, name, form.are_numbers, values[..., i] if by_step else values[:, 0, i])
        for i, name in enumerate(column_names(task, head, count))
    ]


def _classes(form: Any, labels: np.ndarray) -> np.ndarray:
    """Returns class indices with NaN for what is missing; of a row of probabilities the likeliest."""
    if getattr(form, "are_rows", None) is not None and form.are_rows(labels):
        missing = (np.isnan(labels) | (labels < 0)).any(axis=-1)
        return np.where(missing, np.nan, np.argmax(np.nan_to_num(labels), axis=-1))
    return with_gaps(labels.reshape(len(labels), _places(labels)) if labels.ndim > 1 else labels, False)


def _places(labels: np.ndarray) -> int:
    """Returns how many entries the labels of an example have."""
    return math.prod(labels.shape[1:])


def with_gaps(labels: np.ndarray, are_numbers: bool) -> np.ndarray:
    """Returns labels as float64 with NaN where one is missing, or known to be none of the classes."""
    values = labels.astype("float64")
    return values if are_numbers else np.where(values < 0, np.nan, values)


def column_names(task: str, head: Head, count: int) -> list[str]:
    """Returns the names of a task's columns: the task's, or with the label's behind it."""
    if count == 1:
        return [task]
    names = getattr(head, "label_names", None) or getattr(head, "class_names", None)
    labels = names if names is not None else range(count)
    return [f"{task}/{label}" for label in labels]


def known_in_both(a: Column, b: Column) -> tuple[np.ndarray, np.ndarray]:
    """Returns two columns of the labels that are known in both, each one axis.

    What an example has once goes with each of its steps or pixels.

    Raises:
        ValueError: If both are of steps or pixels, and not of the same.
    """
    x, y = a.values, b.values
    if x.ndim != y.ndim:
        x, y = (v[:, None] if v.ndim == 1 else v for v in (x, y))
    elif x.shape != y.shape:
        raise ValueError(
            f"label_association: the labels of '{a.name}' and '{b.name}' are for different places, shapes "
            f"{x.shape} and {y.shape}: leave one out."
        )
    x, y = np.broadcast_arrays(x, y)
    known = ~(np.isnan(x) | np.isnan(y))
    return x[known], y[known]
