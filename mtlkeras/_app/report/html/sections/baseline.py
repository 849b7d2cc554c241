"""A comparison of tasks together and alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._app.report.baseline import HOW_IT_IS_TOLD, baseline_table, verdict
from mtlkeras._app.report.html.drawings import WIDTH
from mtlkeras._app.report.html.markup import with_code
from mtlkeras._app.report.html.parts import Markup, Numbers, Picture, Section
from mtlkeras.analysis._pictures import COLOURS, finished, name_axes, new_figure


def baseline(tasks: Sequence[Any]) -> Section:
    """Shows whether each task is better with the others or alone.

    Args:
        tasks: The tasks, as `mtlkeras._app.runs.baseline.Compared`.
    """
    items = "".join(f"<li>{with_code(sentence)}</li>" for sentence in verdict(tasks))
    header, rows = baseline_table(tasks)
    table = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    changes = {
        "task": [one.task for one in tasks for _ in one.changes],
        "seed": [seed for one in tasks for seed, _ in enumerate(one.changes, 1)],
        "change, %": [change for one in tasks for change in one.changes],
    }
    said = "; ".join(f"{one.task} {np.mean(one.changes):+.2f} %" for one in tasks)
    picture = Picture(
        "Change by sharing",
        f"Change of the test metric against the model alone, mean over seeds: {said}.",
        functools.partial(_draw, tasks=tasks),
        Numbers("changes", changes, "Numbers by seed"),
    )
    cost = _cost(tasks)
    return Section(
        "Does sharing help?",
        [
            Markup(f'<ul class="verdict">{items}</ul>'),
            Numbers("baseline", table, "Together and alone, on the test split", is_open=True),
            HOW_IT_IS_TOLD,
            picture,
            Numbers("baseline-cost", cost, "What the models alone cost", is_open=True),
        ],
    )


def _cost(tasks: Sequence[Any]) -> dict[str, list[Any]]:
    operations = [one.flops for one in tasks]
    return {
        "task alone": [one.task for one in tasks],
        "weights": [one.parameters for one in tasks],
        # Not counted where inputs are of any length.
        **({"operations": operations} if any(operations) else {}),
        "seconds of training": [round(float(np.mean(one.seconds))) for one in tasks],
    }


def _draw(path: Path, tasks: Sequence[Any]) -> None:
    figure = new_figure(WIDTH, 1.3 + 0.4 * len(tasks))
    axis = figure.subplots()
    axis.axvline(0.0, color="0.6", linewidth=0.8)
    for row, one in enumerate(tasks):
        axis.plot(one.changes, [row] * len(one.changes), "o", color=COLOURS[0], markersize=5, alpha=0.6)
        axis.plot(np.mean(one.changes), row, "|", color=COLOURS[1], markersize=16, markeredgewidth=2)
    axis.set_yticks(range(len(tasks)), [one.task for one in tasks])
    axis.set_ylim(len(tasks) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.5)
    name_axes(axis, "Change by sharing", "change, % (above 0 better together)", "")
    finished(figure, path)
