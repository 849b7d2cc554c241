"""Classes that are missing in training, or have no label at all; tasks without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtlkeras._app.checks._labels import class_counts, has_several, known, listed, name_of, no_yes_counts
from mtlkeras._app.checks.check import NOTE, Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

UNSEEN = Check(
    "MTL006",
    "Class unseen in training",
    "A class that has labels in the test split has none in the training split.",
)
UNLABELLED = Check(
    "MTL007",
    "Labels missing",
    "A task has no labels in the training split, or none in the test split (a note); or a class has none "
    "in either, one of several labels is unknown throughout training, or is never yes.",
)


def unseen_class(facts: RunFacts) -> Iterator[Finding]:
    """Finds classes that are to be told in the test split and were never seen in training.

    One label is enough: every test example of such a class is answered wrongly, whatever the model.
    """
    for name, task in facts.tasks.items():
        unseen, count = _unseen(task)
        if unseen:
            yield UNSEEN.finding(
                name,
                f"No training label, and {count} test label{'s' * (count != 1)}: {listed(unseen)}.",
                "Divide the data so that each class is in all splits, or leave the class out.",
            )


def _unseen(task: TaskFacts) -> tuple[list[str], int]:
    """Returns names of classes that only the test split has, and how many labels there are of them."""
    if task.classes is None or task.train_labels is None or task.test_labels is None:
        return [], 0
    if not len(task.train_labels) or not len(task.test_labels):
        return [], 0
    if has_several(task, task.train_labels):
        return _unseen_answers(
            task.classes, no_yes_counts(task.train_labels), no_yes_counts(task.test_labels)
        )
    train, test = (
        class_counts(labels, len(task.classes)) for labels in (task.train_labels, task.test_labels)
    )
    if not train.any():
        return [], 0
    train = np.pad(train, (0, max(0, len(test) - len(train))))
    places = [i for i in np.flatnonzero(test) if not train[i]]
    foreign = int((np.nan_to_num(np.asarray(task.test_labels, "float64"), nan=-1.0) < -1).sum())
    names = [name_of(task.classes, i) for i in places]
    return names + ["classes that the task does not know"] * bool(foreign), int(test[places].sum()) + foreign


def _unseen_answers(classes: Sequence[str], train: np.ndarray, test: np.ndarray) -> tuple[list[str], int]:
    """Returns the same of yes/no labels; one that is unknown throughout training is another check's."""
    unseen = (train == 0) & (test > 0) & (train.sum(axis=1, keepdims=True) > 0)
    names = [f"{name_of(classes, i)} {('no', 'yes')[value]}" for i, value in np.argwhere(unseen).tolist()]
    return names, int(test[unseen].sum())


def missing_labels(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks, classes and columns for which there is nothing to learn from.

    No label at all is the threshold. A class that the test split has is found by the check of unseen classes.
    """
    for name, task in facts.tasks.items():
        if task.train_labels is None:
            continue
        if not known(task.train_labels, task.classes is None).any():
            yield UNLABELLED.finding(
                name,
                f"None of {len(task.train_labels)} labels of the training split is known.",
                "Look whether the task's column is read under its name, and whether the split has its "
                "source; or leave the task out (--tasks).",
            )
            continue
        yield from _parts_without(name, task)
        if task.test_labels is not None and not known(task.test_labels, task.classes is None).any():
            yield UNLABELLED.finding(
                name,
                f"None of {len(task.test_labels)} labels of the test split is known, so its scores there say "
                "nothing.",
                "Judge the task on a split that has labels.",
                NOTE,
            )


def _parts_without(name: str, task: TaskFacts) -> Iterator[Finding]:
    parts = _empty_classes(task) if task.classes is not None else _empty_columns(task)
    if parts:
        yield UNLABELLED.finding(
            name,
            f"Without any label: {listed(parts)}.",
            "Leave them out of the head, or find labels for them.",
        )


def _empty_classes(task: TaskFacts) -> list[str]:
    assert task.classes is not None and task.train_labels is not None
    splits = [
        labels for labels in (task.train_labels, task.test_labels) if labels is not None and len(labels)
    ]
    if not has_several(task, task.train_labels):
        counts = np.sum(
            [class_counts(labels, len(task.classes))[: len(task.classes)] for labels in splits], axis=0
        )
        return [name_of(task.classes, i) for i in np.flatnonzero(counts == 0)]
    train = no_yes_counts(task.train_labels)
    both = np.sum([no_yes_counts(labels) for labels in splits], axis=0)
    empty = ~train.any(axis=1)
    never = np.flatnonzero(~empty & ~both[:, 1:].any(axis=1))
    return [name_of(task.classes, i) for i in np.flatnonzero(empty)] + [
        f"{name_of(task.classes, i)} (never yes)" for i in never
    ]


def _empty_columns(task: TaskFacts) -> list[str]:
    assert task.train_labels is not None
    values = np.asarray(task.train_labels, "float64")
    columns = values.reshape(len(values), -1)
    return [f"number {i}" for i in np.flatnonzero(~np.isfinite(columns).any(axis=0))]
