"""Classes that are rare in training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtlkeras._app.checks._labels import class_counts, has_several, listed, name_of, no_yes_counts, percent
from mtlkeras._app.checks.check import NOTE, WARNING, Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

RARE, MOST = 0.1, 0.95

IMBALANCE = Check(
    "MTL005",
    "Imbalanced classes",
    f"A class has less than {RARE} of an even share of the training labels, of a yes/no label that is "
    f"{RARE / 2:.0%}; a warning if another class has {MOST:.0%} or more of them, else a note.",
)


def imbalanced_classes(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks with classes that are rare in training.

    A tenth of an even share, for two classes 5% of the labels, is where a classifier can leave the class out
    and hardly lose in accuracy. If one class has 95% of the labels, always answering it looks like a good
    model. Classes without any label are another check's.
    """
    for name, task in facts.tasks.items():
        if task.classes is None or task.train_labels is None:
            continue
        several = has_several(task, task.train_labels)
        found = _rare_labels(task) if several else _rare_classes(task)
        if found is not None:
            evidence, severity = found
            remedy = 'positive_weight="balanced"' if several else 'class_weight="balanced"'
            advice = (
                f"Give the head {remedy} or a focal_gamma, and judge it by a metric that counts classes "
                "alike: balanced_accuracy, f1, auc."
            )
            yield IMBALANCE.finding(name, evidence, advice, severity)


def _rare_classes(task: TaskFacts) -> tuple[str, str] | None:
    assert task.classes is not None and task.train_labels is not None
    counts = class_counts(task.train_labels, len(task.classes))
    total, even = int(counts.sum()), counts.sum() / len(counts) if len(counts) else 0.0
    rare = [i for i in np.argsort(counts, kind="stable") if 0 < counts[i] < RARE * even]
    if not rare:
        return None
    names = listed([f"{name_of(task.classes, i)} {percent(counts[i] / total)}" for i in rare])
    most = int(counts.argmax())
    share = counts[most] / total
    evidence = (
        f"Of {total} training labels in {len(counts)} classes {percent(share)} are "
        f"{name_of(task.classes, most)}; rare are {names}."
    )
    return evidence, WARNING if share >= MOST else NOTE


def _rare_labels(task: TaskFacts) -> tuple[str, str] | None:
    assert task.classes is not None and task.train_labels is not None
    counts = no_yes_counts(task.train_labels)
    totals = counts.sum(axis=1)
    least = counts.min(axis=1)
    rare = [i for i in np.flatnonzero(least) if least[i] < RARE * totals[i] / 2]
    if not rare:
        return None
    names = listed([f"{name_of(task.classes, i)} {percent(counts[i, 1] / totals[i])}" for i in rare])
    evidence = f"Of its {len(counts)} yes/no labels {len(rare)} are nearly always the same; yes are {names}."
    return evidence, WARNING
