"""The trials of a search."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.parts import Numbers, Part, Picture, Section
from mtlkeras._app.report.search import draw_fronts, draw_values, mean_ranks
from mtlkeras.analysis import regularisation_efficiency

_LEAST_TRIALS = 3
"""A line goes through any two."""


def trials(run: RunEvidence) -> Section | None:
    """Shows the trials, the score against each hyperparameter, and weights against each task's metric."""
    if not run.trials:
        return None
    config, metrics = run.config, run.config["task_metrics"]
    done = [trial for trial in run.trials if trial.status == "COMPLETED"]
    table = _table(done, metrics)
    parts: list[Part] = [Numbers("trials", table, "Completed trials", is_open=True)]
    names = [n for n in dict.fromkeys(n for t in done for n in t.values) if _varies(done, n)]
    if names:
        said = f"{config['monitor']} of each completed trial by {', '.join(names)}."
        by_value = functools.partial(draw_values, trials=done, objective=config["monitor"])
        values = {
            "trial": [t.trial for t in done],
            "score": [t.score for t in done],
            **{n: [t.values.get(n) for t in done] for n in names},
        }
        parts.append(Picture("Score by hyperparameter", said, by_value, Numbers("values", values)))
    sizes = {
        "trial": [t.trial for t in done],
        "weights": [t.metrics["parameters"] for t in done],
        **{name: [t.metrics.get(name) for t in done] for name in metrics},
    }
    said = f"{', '.join(metrics)} of each completed trial by its number of weights, with the Pareto front."
    draw = functools.partial(draw_fronts, trials=done, metrics=metrics)
    parts.append(Picture("Weights against each task's metric", said, draw, Numbers("fronts", sizes)))
    parts += _regularisation(done, metrics)
    failed = [trial for trial in run.trials if trial.status != "COMPLETED"]
    if failed:
        reasons = [trial.failure or "not finished" for trial in failed]
        columns = {"trial": [trial.trial for trial in failed], "reason": reasons}
        parts.append(Numbers("failed-trials", columns, "Trials that were not completed", is_open=True))
    parts.append(f"To train the best again from the start: `{config['command']}`")
    return Section("Trials", parts)


def _regularisation(done: Sequence[Any], metrics: Mapping[str, str]) -> list[Part]:
    """Shows what was gained for the overfitting that the trials undo, of metrics that both splits have."""
    rows, ways = [], {}
    for name, way in metrics.items():
        of, other = name.removeprefix("val_"), name
        points = [(t.trial, t.metrics.get(of), t.metrics.get(other)) for t in done]
        points = [point for point in points if None not in point and np.isfinite(point[1:]).all()]
        if len({train - valid for _, train, valid in points}) < _LEAST_TRIALS:
            continue
        ways[of] = "up" if way == "max" else "down"
        rows += [
            {"task": of, "setting": f"trial {trial}", "train": train, "test": valid}
            for trial, train, valid in points
        ]
    if not rows:
        return []
    found = regularisation_efficiency(rows, ways)
    said = "; ".join(f"{name} {value:+.2f}" for name, value in found.efficiency.items())
    picture = Picture(
        "Does regularisation pay?",
        f"Validation score gained for each unit that the gap to training closed, over the trials: {said}.",
        lambda path: found.plot(path),
        Numbers("regularisation", found.points(), "Gaps and scores"),
    )
    return [
        picture,
        "The gap is how much better the metric is in training than on the validation split, by the logs of "
        "the best epoch; in training dropout is at work, so that it can be below 0. A number of 1: the gap "
        "closed and all of it was gained. 0: the model fitted less and nothing was gained. It tells "
        "something where what was searched regularises.",
    ]


def _varies(done: Sequence[Any], name: str) -> bool:
    return len({str(trial.values[name]) for trial in done if name in trial.values}) > 1


def _table(done: Sequence[Any], metrics: Any) -> dict[str, list[Any]]:
    ranks = mean_ranks(done, metrics)
    names = list(dict.fromkeys(name for trial in done for name in trial.values))
    return {
        "trial": [trial.trial for trial in done],
        "score": [trial.score for trial in done],
        "mean rank": [float(ranks[trial.trial]) for trial in done],
        **{name: [trial.values.get(name) for trial in done] for name in names},
        **{name: [trial.metrics.get(name) for trial in done] for name in metrics},
        "weights": [int(trial.metrics["parameters"]) for trial in done],
        "seconds": [trial.metrics["seconds"] for trial in done],
    }
