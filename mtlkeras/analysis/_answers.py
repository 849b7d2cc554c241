"""What a model answers to examples, beside their labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras._model.ways_in import check_arrays
from mtlkeras._types import Data, Labels
from mtlkeras.analysis._label_columns import column_names


class Answers(NamedTuple):
    """The answers of a task that have a label, in a row: of examples, steps or pixels.

    Args:
        answers: Classes, or 0 and 1; shape `(answers,)`, or `(answers, columns)` of several yes/no labels.
        labels: The same of the labels; -1 where one is missing, and below that for one that is no class.
        confidence: Probability of each answer that has a label; of yes/no labels that of "yes".
        right: Whether it is right; of yes/no labels whether it is "yes".
        columns: Names of yes/no labels; empty of classes.
        classes: Names of the classes, or of no and yes.
    """

    answers: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    columns: tuple[str, ...]
    classes: tuple[str, ...]


def answers_by_task(model: Any, x: Data, y: Labels, asked_by: str, batch_size: int) -> dict[str, Answers]:
    """Returns the answers of the tasks with classes that labels are given for.

    Args:
        model: A `MultiTaskModel`.
        x: The examples, as for `predict`.
        y: Their labels by task.
        asked_by: What to name in messages.
        batch_size: As for `predict`.

    Raises:
        ValueError: If no task has classes, or labels do not fit a head or the examples.
    """
    labels, _ = check_arrays(y, None, model.heads)
    wanted = [task for task in labels if not model.heads[task].label_form.are_numbers]
    if not wanted:
        raise ValueError(
            f"{asked_by}: no task with labels has classes; received labels of {', '.join(map(repr, labels))}."
        )
    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    return {task: answers_of_task(model, task, outputs[task], labels[task], asked_by) for task in wanted}


def answers_of_task(model: Any, task: str, outputs: np.ndarray, labels: np.ndarray, asked_by: str) -> Answers:
    """Returns the answers of a task with classes, of what `predict` gave.

    Args:
        model: A `MultiTaskModel`.
        task: The task.
        outputs: Its outputs.
        labels: Its labels, checked.
        asked_by: What to name in messages.

    Raises:
        ValueError: If labels and outputs are of different numbers of examples, or of none.
    """
    head = model.heads[task]
    rows = head.one_length(outputs)
    if len(rows) != len(labels):
        raise ValueError(f"{asked_by}: task '{task}' has {len(labels)} labels for {len(rows)} examples.")
    if not len(rows):
        raise ValueError(f"{asked_by}: there are no examples.")
    judge = _of_entries if head.label_form.by_entry else _of_classes
    return judge(task, model.output_layers[task], rows, labels)


def _decoded(layer: Any, outputs: np.ndarray) -> dict[str, np.ndarray]:
    decoded = layer.decode(keras.ops.convert_to_tensor(outputs))
    if "probability" not in decoded:
        raise ValueError(
            f"{type(layer.head).__name__} of task '{layer.name}' gives no probability of its answers."
        )
    return {key: keras.ops.convert_to_numpy(decoded[key]) for key in ("", "probability")}


def _of_classes(task: str, layer: Any, outputs: np.ndarray, labels: np.ndarray) -> Answers:
    head = layer.head
    decoded = _decoded(layer, outputs)
    answers, confidence = decoded[""], decoded["probability"].astype("float64")
    if getattr(head.label_form, "are_rows", None) is not None and head.label_form.are_rows(labels):
        missing = (np.isnan(labels) | (labels < 0)).any(axis=-1)
        labels = np.where(missing, MISSING, np.nan_to_num(labels).argmax(axis=-1))
    if answers.ndim == 2:  # Of steps, padded by the one who labelled them and by the model.
        steps = min(answers.shape[1], labels.shape[1])
        answers, confidence, labels = (a[:, :steps] for a in (answers, confidence, labels))
    there = (labels != MISSING) & (answers != MISSING)
    answers, labels = answers[there], labels[there]
    names = head.names if head.names is not None else range(head.label_form.count)
    return Answers(answers, labels, confidence[there], answers == labels, (), tuple(map(str, names)))


def _of_entries(task: str, layer: Any, outputs: np.ndarray, labels: np.ndarray) -> Answers:
    count = layer.head.label_form.count
    decoded = _decoded(layer, outputs)
    answers, chance, labels = (a.reshape(-1, count) for a in (decoded[""], outputs, labels.astype("int64")))
    there = labels >= 0
    columns = column_names(task, layer.head, count)
    confidence = chance[there].astype("float64")
    return Answers(answers, labels, confidence, labels[there] == 1, tuple(columns), ("no", "yes"))
