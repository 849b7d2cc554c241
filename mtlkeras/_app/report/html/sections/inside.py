"""What is inside of a model: gates and stitches, attention, transitions of chains, and the model itself."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._app.report.diagram import draw_diagram
from mtlkeras._app.report.evidence import Attention, RunEvidence
from mtlkeras._app.report.html.drawings import draw_matrix
from mtlkeras._app.report.html.parts import Numbers, Part, Picture, Section
from mtlkeras.analysis._pictures import finished, name_axes, new_figure

_MOST_TAGS = 24


def gates(run: RunEvidence) -> Section | None:
    """Draws the mean weights of gates, and the matrices of stitches."""
    if not run.gates:
        return None
    pictures = [_gates(number, *found) for number, found in enumerate(run.gates, 1)]
    return Section("Gates and stitches", [f"Means over a batch of {run.looked_at}.", *pictures])


def _gates(number: int, values: np.ndarray, rows: list[str], columns: str) -> Picture:
    title = "Weights of the gates" if columns == "expert" else f"Stitches {number}"
    names = [str(i) for i in range(1, values.shape[1] + 1)]
    largest = max(1.0, float(np.abs(values).max()))
    draw = functools.partial(
        draw_matrix,
        title=title,
        x_label=columns,
        y_label="gate" if columns == "expert" else "to",
        values=values,
        rows=rows,
        columns=names,
        limits=(0.0 if values.min() >= 0 else -largest, largest),
    )
    top = "; ".join(
        f"{row} most from {columns} {names[int(v.argmax())]} ({v.max():.2f})"
        for row, v in zip(rows, values, strict=True)
    )
    table = {"row": rows, **{f"{columns} {name}": values[:, i].tolist() for i, name in enumerate(names)}}
    return Picture(title, f"{top}.", draw, Numbers(f"gates-{number}", table))


def attention(run: RunEvidence) -> Section | None:
    """Draws what attention layers look at in some examples."""
    if not run.attention:
        return None
    pictures: list[Part] = []
    for one in run.attention:
        pictures += (
            _pooled(one) if len(one.tokens) == len(one.weights) and len(one.tokens) > 1 else _pairs(one)
        )
    return Section("Attention", ["Of the first examples of the test split that were looked at.", *pictures])


def _pooled(one: Attention) -> list[Part]:
    """Returns the picture of weights of steps, an example a row."""
    rows = [(tokens, weights[: len(tokens)]) for tokens, weights in zip(one.tokens, one.weights, strict=True)]
    rows = [(tokens, weights) for tokens, weights in rows if tokens]
    if not rows:
        return []
    table: dict[str, list[Any]] = {
        "example": [i for i, (tokens, _) in enumerate(rows, 1) for _ in tokens],
        "step": [step for tokens, _ in rows for step in tokens],
        "weight": [float(w) for _, weights in rows for w in weights],
    }
    tops = "; ".join(f"example {i}: {tokens[int(w.argmax())]}" for i, (tokens, w) in enumerate(rows, 1))
    title = f"Weights of the steps in {one.layer}"
    draw = functools.partial(_draw_steps, title=title, rows=rows)
    return [Picture(title, f"Most weight has {tops}.", draw, Numbers(f"attention-{one.layer}", table))]


def _draw_steps(path: Path, title: str, rows: Sequence[tuple[Sequence[str], np.ndarray]]) -> None:
    """Draws bars of the steps' weights, an example after the other."""
    figure = new_figure(4.2, 0.6 + sum(0.2 * len(tokens) + 0.3 for tokens, _ in rows))
    axes = figure.subplots(
        len(rows), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [len(t) + 1 for t, _ in rows]}
    )[:, 0]
    for number, (axis, (tokens, weights)) in enumerate(zip(axes, rows, strict=True), 1):
        axis.barh(range(len(tokens)), weights, color="#0072B2")
        axis.set_yticks(range(len(tokens)), [token[:24] for token in tokens])
        axis.set_ylim(len(tokens) - 0.4, -0.6)
        name_axes(axis, title if number == 1 else "", "", f"example {number}")
    axes[-1].set_xlabel("weight", fontsize=9)
    finished(figure, path)


def _pairs(one: Attention) -> list[Part]:
    tokens = [token[:18] for token in one.tokens[0]]
    if not tokens or one.weights.shape != (len(tokens), len(tokens)):
        return []
    title = f"Which step looks at which in {one.layer}"
    names = [f"{i} {token}" for i, token in enumerate(tokens, 1)]
    draw = functools.partial(
        draw_matrix,
        title=title,
        x_label="at",
        y_label="from",
        values=one.weights,
        rows=names,
        columns=names,
        limits=(0.0, float(one.weights.max())),
    )
    table = {"from": names, **{name: one.weights[:, i].tolist() for i, name in enumerate(names)}}
    said = f"Mean of the heads, the first example: {' '.join(tokens)}."
    return [Picture(title, said, draw, Numbers(f"attention-{one.layer}", table))]


def transitions(run: RunEvidence) -> Section | None:
    """Draws the weights between tags of tasks that have a chain over the steps."""
    pictures = [
        _transitions(task, *one.transitions, one.labels)
        for task, one in run.tasks.items()
        if one.transitions is not None
    ]
    note = "From the tag of a step to that of the next: scores of a CRF, or probabilities of an HMM."
    return Section("Transitions between tags", [note, *pictures]) if pictures else None


def _transitions(task: str, names: Sequence[str], values: np.ndarray, labels: np.ndarray | None) -> Picture:
    order = np.arange(len(names))
    if len(names) > _MOST_TAGS:
        known = labels[labels >= 0] if labels is not None else order
        counts = np.bincount(known, minlength=len(names))[: len(names)]
        order = np.sort(np.argsort(-counts, kind="stable")[:_MOST_TAGS])
    shown = np.clip(values[np.ix_(order, order)], -10.0, 10.0)  # Forbidden ones are far below.
    tags = [names[int(i)][:18] for i in order]
    title = f"Transitions of {task}"
    largest = float(np.abs(shown).max())
    draw = functools.partial(
        draw_matrix,
        title=title,
        x_label="to",
        y_label="from",
        values=shown,
        rows=tags,
        columns=tags,
        limits=(-largest if shown.min() < 0 else 0.0, largest),
        texts=np.vectorize(lambda v: f"{v:.1f}")(shown),
    )
    apart = shown + np.diag(np.full(len(order), -np.inf))
    one, other = divmod(int(apart.argmax()), len(order))
    few = f" The {len(order)} most frequent of {len(names)} tags." if len(order) < len(names) else ""
    said = f"The highest between two tags is from {tags[one]} to {tags[other]}, {shown[one, other]:.2f}.{few}"
    table = {"from": list(names), **{f"to {n}": values[:, i].tolist() for i, n in enumerate(names)}}
    return Picture(title, said, draw, Numbers(f"transitions-{task}", table))


def diagram(run: RunEvidence) -> Section | None:
    """Draws the model: its inputs, what its tasks share, and a head a task."""
    if run.diagram is None:
        return None
    size = run.size
    head = {task: one.head for task, one in run.tasks.items()}
    said = "Inputs at the left, the shared trunk in the middle, at the right the heads: " + ", ".join(
        f"{task} ({name})" for task, name in head.items()
    )
    table = {"task": list(head), "head": list(head.values())}
    draw = functools.partial(draw_diagram, diagram=run.diagram)
    picture = Picture(
        "The model",
        f"{said}." if size is None else f"{said}; {size.weights:,} weights.",
        draw,
        Numbers("model", table, "Heads by task"),
        {"#ffffff": "paper", "#e8e8e8": "box-1", "#cfe4f2": "box-2", "#fbe3cc": "box-3"},
    )
    return Section("The model", [picture])
