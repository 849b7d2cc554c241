"""The trials of a search."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.parts import Numbers, Part, Picture, Section
from mtlkeras._app.report.search import draw_fronts, draw_values, mean_ranks


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
    failed = [trial for trial in run.trials if trial.status != "COMPLETED"]
    if failed:
        reasons = [trial.failure or "not finished" for trial in failed]
        columns = {"trial": [trial.trial for trial in failed], "reason": reasons}
        parts.append(Numbers("failed-trials", columns, "Trials that were not completed", is_open=True))
    parts.append(f"To train the best again from the start: `{config['command']}`")
    return Section("Trials", parts)


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
