"""What the test split tells of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.evidence.labels import flat_labels
from mtlkeras._app.report.evidence.run import Numbers, TaskEvidence
from mtlkeras._app.report.evidence.samples import Sample
from mtlkeras._app.report.evidence.trunk import transitions_of
from mtlkeras._missing import MISSING
from mtlkeras.analysis import Calibration, Confusion, confusion
from mtlkeras.analysis._answers import Answers, answers_of_task
from mtlkeras.analysis._label_columns import column_names
from mtlkeras.analysis.calibration import binned
from mtlkeras.analysis.worst_errors import worst_of_outputs
from mtlkeras.tuning._directions import log_directions, main_metrics

_WORST = 5
_BINS = 15
_MOST_POINTS = 500
_MOST_CONFUSIONS = 40


def directions(model: Any) -> dict[str, tuple[str, bool]]:
    """Returns each task's first metric without the task's name, and whether more of it is better."""
    ways = log_directions(model)
    names = {task: name.removeprefix("val_") for task, name in main_metrics(model).items()}
    return {task: (name.removeprefix(f"{task}_"), ways.get(name) == "max") for task, name in names.items()}


def task_evidence(
    model: Any,
    task: str,
    metric: str,
    higher_is_better: bool,
    sample: Sample | None,
    outputs: Mapping[str, Any] | None,
    attempt: Attempts,
) -> TaskEvidence:
    """Returns what is known of a task.

    Args:
        model: The model.
        task: The task.
        metric: Its first metric.
        higher_is_better: Its direction.
        sample: Examples of the test split, if there are.
        outputs: What the model predicts for them.
        attempt: Makes the parts.
    """
    head = model.heads[task]
    known: dict[str, Any] = {"transitions": attempt(f"transitions of {task}", transitions_of, model, task)}
    if sample is not None and outputs is not None and _has_labels(sample.y.get(task)):
        labels, given = sample.y[task], outputs[task]
        worst = attempt(
            f"worst errors of {task}", worst_of_outputs, model, sample.x, labels, given, task, _WORST
        )
        if worst is not None:  # Their places in the split, not in the part of it that was looked at.
            known["worst"] = dataclasses.replace(worst, indices=sample.rows[worst.indices])
    return TaskEvidence(
        type(head).__name__,
        metric,
        higher_is_better,
        **known,
        **answered(model, task, sample, outputs, attempt),
    )


def answered(
    model: Any, task: str, sample: Sample | None, outputs: Mapping[str, Any] | None, attempt: Attempts
) -> dict[str, Any]:
    """Returns what answers tell beside labels, as arguments of `TaskEvidence`; nothing without labels."""
    if sample is None or outputs is None or not _has_labels(sample.y.get(task)):
        return {}
    judge = _of_numbers if model.heads[task].label_form.are_numbers else _of_classes
    return judge(model, task, sample.y[task], outputs[task], attempt)


def _has_labels(labels: np.ndarray | None) -> bool:
    if labels is None:
        return False
    return bool((~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0).any())


def _of_classes(model: Any, task: str, labels: np.ndarray, outputs: Any, attempt: Attempts) -> dict[str, Any]:
    found = attempt(f"answers of {task}", answers_of_task, model, task, outputs, labels, "report")
    if found is None:
        return {}
    return {
        "labels": np.where(found.labels < 0, MISSING, found.labels),
        "answers": found.answers,
        "confusions": attempt(f"confusion of {task}", _confusions, task, found) or {},
        "calibration": attempt(f"reliability of {task}", _calibration, task, found),
    }


def _confusions(task: str, found: Answers) -> dict[str, Confusion]:
    """Returns the confusion of a task, or one for each of its labels that has a label; of many the first."""
    names = found.columns or (task,)
    columns = zip(
        found.answers.reshape(-1, len(names)).T, found.labels.reshape(-1, len(names)).T, strict=True
    )
    tables: dict[str, Confusion] = {}
    for name, (said, true) in zip(names, columns, strict=True):
        known = true >= 0
        if known.any() and len(tables) < _MOST_CONFUSIONS:
            tables[name] = confusion(said[known], true[known], found.classes)
    return tables


def _calibration(task: str, found: Answers) -> Calibration:
    return binned(found.confidence, found.right, _BINS, adaptive=False, of=f" of task '{task}'")


def _of_numbers(model: Any, task: str, labels: np.ndarray, outputs: Any, attempt: Attempts) -> dict[str, Any]:
    head = model.heads[task]
    true = flat_labels(head, labels)
    said = attempt(f"answers of {task}", model.output_layers[task].answers, head.one_length(outputs))
    if said is None:
        return {}
    said = np.asarray(said).reshape(true.shape)
    names = column_names(task, head, head.label_form.count)
    numbers = attempt(f"numbers of {task}", _numbers, names, true, said) or {}
    return {"labels": true, "answers": said, "numbers": numbers}


def _numbers(names: Sequence[str], labels: np.ndarray, answers: np.ndarray) -> dict[str, Numbers]:
    """Returns labels and answers by name, of many some at equal distances."""
    true, said = (values.reshape(-1, len(names)).astype("float64") for values in (labels, answers))
    found = {}
    for i, name in enumerate(names):
        known = np.flatnonzero(np.isfinite(true[:, i]))
        known = known[:: max(1, -(-len(known) // _MOST_POINTS))]
        if len(known):
            found[name] = Numbers(true[known, i], said[known, i])
    return found
