"""A task that one constant answer would solve as well."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtlkeras._app.checks._constant import Compared, compared, most_frequent
from mtlkeras._app.checks._labels import class_counts, has_several, known, listed, name_of
from mtlkeras._app.checks.check import NOTE, WARNING, Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

ERRORS, RECALL = 2.0, 0.05

NO_BETTER = Check(
    "MTL008",
    "No better than a constant answer",
    "On the test split the answers are right no more often than the most frequent class of training, or are "
    "no nearer than its mean and median. Only a note where they are better by less than "
    f"{ERRORS:g} standard errors, or their mean recall over the classes is better by {RECALL} or more.",
)

_ADVICE = (
    "Look whether the labels belong to the inputs, give the task more weight or more epochs, and judge rare "
    "classes by balanced_accuracy, f1 or auc: a model may rank examples well and still give one answer."
)


def no_better_than_constant(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks that a constant answer, chosen on the training split, would solve as well in test.

    Both answer the same examples, so the standard error is that of the paired difference; two of them are the
    usual 5%. A model with balanced class weights may be right less often than the most frequent class and
    still tell the classes apart: if the mean of the recalls is 0.05 better than a constant's, that is a note.
    Numbers are found only if the squared error is no better than the mean's and the absolute error no better
    than the median's, as a head learns one of the two. Answers that are not meant to be near the labels,
    such as quantiles, do not belong into `test_answers`.
    """
    for name, task in facts.tasks.items():
        if task.test_labels is None or task.test_answers is None or not len(task.test_labels):
            continue
        if task.classes is None:
            found = _numbers(task)
        elif has_several(task, task.test_labels):
            found = _labels(task)
        else:
            found = _classes(task)
        if found is not None:
            evidence, severity = found
            yield NO_BETTER.finding(name, evidence, _ADVICE, severity)


def _classes(task: TaskFacts) -> tuple[str, str] | None:
    assert task.classes is not None and task.test_labels is not None
    labels, answers = np.asarray(task.test_labels, "float64"), np.asarray(task.test_answers)
    there = known(labels, False)
    labels, answers = labels[there].astype("int64"), answers[there]
    source = task.train_labels if task.train_labels is not None else task.test_labels
    constant = most_frequent(source, len(task.classes))
    if constant is None:
        return None
    right = answers == labels
    found = compared(right, labels == constant)
    if found is None or not _in_doubt(found):
        return None
    classes = np.unique(labels)
    gain = np.mean([right[labels == c].mean() for c in classes]) - 1 / len(classes)
    evidence = (
        f"Of {found.count} test labels the model answers {found.model:.1%} right, and always answering "
        f"{name_of(task.classes, constant)} {found.constant:.1%}"
    )
    if found.gain <= 0 and gain >= RECALL:
        return f"{evidence}; its mean recall over the classes is {gain:.3f} above that, however.", NOTE
    return f"{evidence}.", _severity(found)


def _in_doubt(found: Compared) -> bool:
    return found.gain <= ERRORS * found.error and found.constant < 1


def _severity(found: Compared) -> str:
    return WARNING if found.gain <= 0 else NOTE


def _labels(task: TaskFacts) -> tuple[str, str] | None:
    """Judges each of several yes/no labels."""
    assert task.classes is not None and task.test_labels is not None
    labels, answers = np.asarray(task.test_labels, "float64"), np.asarray(task.test_answers)
    source = np.asarray(task.train_labels if task.train_labels is not None else labels, "float64")
    doubtful: dict[str, Compared] = {}
    judged = 0
    for place in range(labels.shape[1]):
        found = _of_column(labels[:, place], answers[:, place], source[:, place])
        judged += found is not None
        if found is not None and _in_doubt(found):
            doubtful[name_of(task.classes, place)] = found
    if not doubtful:
        return None
    names = listed([f"{name} {f.model:.1%} to {f.constant:.1%}" for name, f in doubtful.items()])
    evidence = (
        f"For {len(doubtful)} of {judged} yes/no labels the answers are right no more often than always "
        f"giving the same one: {names}."
    )
    return evidence, WARNING if any(found.gain <= 0 for found in doubtful.values()) else NOTE


def _of_column(labels: np.ndarray, answers: np.ndarray, source: np.ndarray) -> Compared | None:
    there = known(labels, False)
    counts = class_counts(source, 2)
    if not counts.any():
        return None
    return compared(answers[there] == labels[there], labels[there] == counts.argmax())


def _numbers(task: TaskFacts) -> tuple[str, str] | None:
    """Judges numbers by both errors, each column by its own spread."""
    labels = np.asarray(task.test_labels, "float64")
    labels = labels.reshape(len(labels), -1)
    answers = np.asarray(task.test_answers, "float64").reshape(labels.shape)
    train = None if task.train_labels is None else np.asarray(task.train_labels, "float64")
    source = labels if train is None else train.reshape(len(train), -1)
    doubtful: dict[str, tuple[Compared, Compared]] = {}
    for place in range(labels.shape[1]):
        found = _errors(labels[:, place], answers[:, place], source[:, place])
        if found is not None and all(_no_nearer(errors) for errors in found):
            doubtful[f"number {place}: " if labels.shape[1] > 1 else ""] = found
    if not doubtful:
        return None
    parts = [
        f"{name}mean squared error {-squared.model:.4g} to {-squared.constant:.4g} of the training mean, "
        f"mean absolute error {-absolute.model:.4g} to {-absolute.constant:.4g} of its median"
        for name, (squared, absolute) in doubtful.items()
    ]
    certain = any(all(errors.gain <= 0 for errors in found) for found in doubtful.values())
    return f"On the test split {listed(parts)}.", WARNING if certain else NOTE


def _no_nearer(errors: Compared) -> bool:
    return errors.gain <= ERRORS * errors.error and errors.constant < 0


def _errors(labels: np.ndarray, answers: np.ndarray, source: np.ndarray) -> tuple[Compared, Compared] | None:
    """Returns the squared errors beside the mean's and the absolute ones beside the median's, below zero."""
    there, source = np.isfinite(labels), source[np.isfinite(source)]
    if not there.any() or not len(source):
        return None
    labels, answers = labels[there], answers[there]
    squared = compared(-((answers - labels) ** 2), -((source.mean() - labels) ** 2))
    absolute = compared(-np.abs(answers - labels), -np.abs(np.median(source) - labels))
    assert squared is not None and absolute is not None
    return squared, absolute
