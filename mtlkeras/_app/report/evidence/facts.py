"""What is known of a run for its checks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._app.checks import RunFacts, SearchFacts, TaskFacts
from mtlkeras._app.report.evidence.run import TaskEvidence
from mtlkeras._app.report.evidence.samples import Sample
from mtlkeras._app.report.evidence.training import TrainingSplit, digests_of
from mtlkeras._app.report.tables import split_name

WEIGHT, GRADIENT_SHARE = "weight", "gradient_share"
_NO_METRICS = (WEIGHT, GRADIENT_SHARE)


def facts_of(
    model: Any,
    tasks: Mapping[str, TaskEvidence],
    history: Mapping[str, Sequence[float]],
    metrics: Mapping[str, Mapping[str, float]],
    sample: Sample | None,
    train: TrainingSplit | None,
    search: SearchFacts | None,
) -> RunFacts:
    """Returns what the checks read.

    Args:
        model: The model.
        tasks: What is known of the tasks.
        history: Values per epoch.
        metrics: Results by split.
        sample: Examples of the test split.
        train: What the training split told.
        search: What a search chose.
    """
    logs = history_by_task(history, tasks)
    scores = {split_name(name, tasks): value for name, value in metrics.get("test", {}).items()}
    found = {}
    for task, one in tasks.items():
        found[task] = TaskFacts(
            metric=one.metric,
            higher_is_better=one.higher_is_better,
            history={name: values for name, values in logs[task].items() if name not in _NO_METRICS},
            scores={metric: value for (of, metric), value in scores.items() if of == task},
            classes=_classes(model.heads[task]),
            train_labels=train.labels.get(task) if train else None,
            test_labels=one.labels,
            test_answers=one.answers if _are_near_labels(model.heads[task]) else None,
            weights=list(logs[task].get(WEIGHT, ())),
            gradient_shares=list(logs[task].get(GRADIENT_SHARE, ())),
        )
    shared = None
    if train is not None and sample is not None:
        shared = sum(digest in train.digests for digest in digests_of(model, sample.x))
    return RunFacts(
        found,
        cosines=cosines_in(history, list(tasks)),
        shared_examples=shared,
        test_examples=sample.examples if sample else 0,
        search=search,
    )


def _are_near_labels(head: Any) -> bool:
    """Returns whether answers are meant to be near the labels, as quantiles other than the median are not."""
    if getattr(head, "loss_kind", None) != "quantile":
        return True
    return bool(np.all(np.asarray(head.quantile) == 0.5))


def history_by_task(
    history: Mapping[str, Sequence[float]], tasks: Mapping[str, Any]
) -> dict[str, dict[str, Sequence[float]]]:
    """Returns values by epoch by task and metric, with `val_` before those of the validation split."""
    found: dict[str, dict[str, Sequence[float]]] = {task: {} for task in [*tasks, ""]}
    for name, values in history.items():
        is_valid = _is_valid(name, history, tasks)
        task, metric = split_name(name.removeprefix("val_") if is_valid else name, tasks)
        found[task][f"val_{metric}" if is_valid else metric] = values
    return found


def _is_valid(name: str, history: Mapping[str, Any], tasks: Mapping[str, Any]) -> bool:
    """Returns whether a name in the logs is of the validation split, and not of a task `val_...`."""
    if not name.startswith("val_"):
        return False
    return name.removeprefix("val_") in history or not split_name(name, tasks)[0]


def cosines_in(
    history: Mapping[str, Sequence[float]], tasks: Sequence[str]
) -> dict[tuple[str, str], Sequence[float]]:
    """Returns the cosines of two tasks' gradients that `GradientCosines` logged."""
    names = {f"{one}_{other}_cosine": (one, other) for one, other in itertools.combinations(tasks, 2)}
    return {pair: history[name] for name, pair in names.items() if name in history}


def _classes(head: Any) -> list[str] | None:
    form = head.label_form
    if form.are_numbers:
        return None
    if form.by_entry:
        names = getattr(head, "label_names", None) or getattr(head, "class_names", None)
    else:
        names = head.names
    return [str(name) for name in (names if names is not None else range(form.count))]


def search_facts(config: Mapping[str, Any], trials: Sequence[Any]) -> SearchFacts | None:
    """Returns what a search chose, and what it chose from; `None` without trials.

    Args:
        config: The search's configuration.
        trials: Its trials.
    """
    best = next((trial for trial in trials if trial.trial == config.get("best_trial")), None)
    if best is None:
        return None
    space = [(one["class_name"], one["config"]) for one in config["fingerprint"]["space"]]
    return SearchFacts(
        dict(best.values),
        choices={one["name"]: one["values"] for kind, one in space if kind == "Choice"},
        bounds={
            one["name"]: (one["min_value"], one["max_value"])
            for kind, one in space
            if kind in ("Int", "Float")
        },
    )
