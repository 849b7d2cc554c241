"""Results, and how training went: learning curves, weights of the tasks, cosines of their gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.evidence.facts import WEIGHT, history_by_task
from mtlkeras._app.report.html.drawings import draw_lines, style_of
from mtlkeras._app.report.html.markup import text
from mtlkeras._app.report.html.parts import Numbers, Picture, Section
from mtlkeras._app.report.tables import ALL_TASKS, OF_GRADIENTS, by_task

_MOST_METRICS = 3
_MOST_PICTURES = 2
_LONG_TITLE = 30
_OTHERS = (*OF_GRADIENTS, "examples")
_ERRORS = ("mae", "mse", "rmse", "loss")


def results(run: RunEvidence) -> Section | None:
    """Shows the results of each task on each split."""
    if not run.metrics:
        return None
    expected = run.config.get("expected")
    tables = Numbers(
        "results", results_table(run.metrics, list(run.tasks)), "By task and split", is_open=True
    )
    return Section("Results", [tables, *([f"Expected: {expected}."] if expected else [])])


def results_table(metrics: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> dict[str, list[Any]]:
    """Returns results as columns: a row for each metric of a task, a column for each split."""
    cells = {split: by_task(logs, tasks) for split, logs in metrics.items()}
    rows = [
        (task, metric)
        for task in [*tasks, ""]
        for metric in dict.fromkeys(m for logs in cells.values() for m in logs[task])
    ]
    return {
        "task": [task or ALL_TASKS for task, _ in rows],
        "metric": [metric for _, metric in rows],
        **{split: [logs[task].get(metric) for task, metric in rows] for split, logs in cells.items()},
    }


def curves(run: RunEvidence) -> Section | None:
    """Draws the loss and the metrics of each task over the epochs."""
    if not run.history:
        return None
    logs = history_by_task(run.history, run.tasks)
    pictures = []
    for task in [*run.tasks, ""]:
        own = {name: values for name, values in logs[task].items() if name != WEIGHT and not _is_other(name)}
        plain = [name for name in own if not name.startswith("val_")]
        for names in (["loss"], *_drawn_together(run, task, plain)):
            if found := [name for name in names if name in own]:
                pictures.append(_curve(run, task, found, own))
    return Section("Learning curves", pictures) if pictures else None


def _is_other(name: str) -> bool:
    return name.endswith(_OTHERS)


def _drawn_together(run: RunEvidence, task: str, names: Sequence[str]) -> list[list[str]]:
    """Returns the metrics that share a picture: shares do, others are drawn by themselves."""
    main = run.tasks[task].metric if task else None
    ordered = sorted((name for name in names if name != "loss"), key=lambda name: name != main)
    shares = [name for name in ordered if _is_share(run, task, name)][:_MOST_METRICS]
    return [*([shares] if shares else []), *([name] for name in ordered if name not in shares)][
        :_MOST_PICTURES
    ]


def _is_share(run: RunEvidence, task: str, metric: str) -> bool:
    if metric.rpartition("_")[2] in _ERRORS:
        return False
    name = f"{task}_{metric}" if task else metric
    values = [v for n in (name, f"val_{name}") for v in run.history.get(n, ()) if math.isfinite(v)]
    return bool(values) and all(0 <= v <= 1 for v in values)


def _curve(run: RunEvidence, task: str, names: Sequence[str], logs: Mapping[str, Sequence[float]]) -> Picture:
    lines, columns = {}, {}
    for number, name in enumerate(names):
        for full, style, split in ((name, ":", "train"), (f"val_{name}", "-", "valid")):
            if full in logs:
                values = list(logs[full])
                label = split if len(names) == 1 else f"{name}, {split}"
                lines[label] = (range(1, len(values) + 1), values, number, style)
                columns[label] = values
    epochs = max(map(len, columns.values()))
    what = ", ".join(names)
    title = f"{task or ALL_TASKS}: {what if len(what) < _LONG_TITLE else f'{names[0]}, …'}"
    best = run.config.get("best_epoch")
    draw = functools.partial(
        draw_lines, title=title, x_label="epoch", y_label=_axis(names), lines=lines, mark=best
    )
    last = "; ".join(f"{name} ends at {text(values[-1])}" for name, values in columns.items())
    marked = f" The vertical line marks epoch {best}, the best." if best else ""
    numbers = Numbers(
        f"curve-{task or 'all'}-{names[0]}", {"epoch": [*range(1, epochs + 1)], **columns}, "Numbers by epoch"
    )
    return Picture(title, f"{what} by epoch: {last}.{marked}", draw, numbers)


def _axis(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "share, from 0 to 1"


def weights(run: RunEvidence) -> Section | None:
    """Draws the weights that a balancer gave the tasks."""
    logs = history_by_task(run.history, run.tasks)
    found = {task: list(logs[task][WEIGHT]) for task in run.tasks if WEIGHT in logs[task]}
    if not found:
        return None
    return Section("Weights of the tasks", [_over_epochs("Weights of the tasks", "weight", "weights", found)])


def cosines(run: RunEvidence) -> Section | None:
    """Draws cosines and shares of the tasks' gradients, where `GradientCosines` logged them."""
    found = {f"{one}, {other}": list(values) for (one, other), values in run.facts.cosines.items()}
    if not found:
        return None
    picture = _over_epochs(
        "Cosines of gradients", "cosine", "gradient-cosines", found, limits=(-1.05, 1.05), zero=True
    )
    shares = {task: list(one.gradient_shares) for task, one in run.facts.tasks.items() if one.gradient_shares}
    more = [_over_epochs("Shares of gradients", "share", "gradient-shares", shares)] if shares else []
    return Section(
        "Do the gradients agree?",
        [
            "Below 0, a step for one task raises the other's loss. A task's share is that of its gradient "
            "in the sum of the norms.",
            picture,
            *more,
        ],
    )


def _over_epochs(title: str, what: str, name: str, found: Mapping[str, list[float]], **more: Any) -> Picture:
    lines = {
        label: (range(1, len(values) + 1), values, number, style_of(number))
        for number, (label, values) in enumerate(found.items())
    }
    draw = functools.partial(draw_lines, title=title, x_label="epoch", y_label=what, lines=lines, **more)
    means = "; ".join(f"{label} from {text(v[0])} to {text(v[-1])}" for label, v in found.items())
    epochs = max(map(len, found.values()))
    numbers = Numbers(name, {"epoch": [*range(1, epochs + 1)], **found}, "Numbers by epoch")
    return Picture(title, f"{what.capitalize()} by epoch: {means}.", draw, numbers)
