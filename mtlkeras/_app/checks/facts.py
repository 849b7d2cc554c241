"""What is known of a run in plain values, as its checks read it; and what a check found.

Nothing here is a model or a data set, so that a check can be tried on made runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task.

    Args:
        metric: The metric that tells how good the task is, without the task's name.
        higher_is_better: Its direction.
        history: Values by epoch: `"loss"` and the metrics without the task's name, those of the
            validation split with `"val_"` before.
        scores: Results on the test split, by metric.
        classes: Names of the classes; `None` for numbers.
        train_labels: Labels of the training split, one an example, token or pixel: the class's
            index with -1 where there is none, numbers with NaN; `(n,)`, or `(n, labels)` for heads
            of several labels. `None` where they are not at hand.
        test_labels: The same of the test split.
        test_answers: What the model says there, in the form of `test_labels`. `None` also for answers that
            are not meant to be near the labels, such as quantiles.
        weights: The task's weight in the loss by epoch; empty if it has none of its own.
        gradient_shares: The share of the task's gradient in the sum of the norms, from 0 to 1, by
            look; empty if nobody looked.
    """

    metric: str
    higher_is_better: bool
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    test_answers: np.ndarray | None = None
    weights: Sequence[float] = ()
    gradient_shares: Sequence[float] = ()


@dataclass(frozen=True)
class SearchFacts:
    """What a search chose: the best trial's value and the space's values or bounds, by hyperparameter."""

    best: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run.

    Args:
        tasks: The tasks by name.
        cosines: Cosines of two tasks' gradients, by look; empty if nobody looked.
        shared_examples: How many of the test split's inputs are in the training split also;
            `None` if nobody compared.
        test_examples: How many examples the test split has.
        search: What a search chose, if the run is one.
    """

    tasks: Mapping[str, TaskFacts]
    cosines: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    shared_examples: int | None = None
    test_examples: int = 0
    search: SearchFacts | None = None


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        check: The check's id, such as `"MTL003"`.
        title: What is wrong in some words.
        task: The task; `None` if it is not of one.
        evidence: What was seen, with numbers, as a sentence.
        advice: What to do, as a sentence.
        severity: `"warning"` or `"note"`.
    """

    check: str
    title: str
    task: str | None
    evidence: str
    advice: str
    severity: str = "warning"
