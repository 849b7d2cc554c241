"""What the labels and answers of the test split tell: relatedness, confusion, reliability, numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.drawings import draw_matrix, draw_points
from mtlkeras._app.report.html.markup import text
from mtlkeras._app.report.html.parts import Numbers, Part, Picture, Section
from mtlkeras.analysis import Calibration, Confusion

_MOST_CLASSES = 20
_MOST_LABELS = 6


def association(run: RunEvidence) -> Section | None:
    """Draws how the labels of each two tasks go together."""
    found = run.association
    if found is None:
        return None
    frame = found.frame()
    values = np.asarray(frame["value"], "float64")
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    most = known[np.abs(values[known]).argmax()]
    closest = (
        f"{frame['task'][most]} and {frame['other'][most]} ({frame['measure'][most]} {values[most]:.2f})"
    )
    draw = functools.partial(
        draw_matrix,
        title="Association of labels",
        x_label="label",
        y_label="label",
        values=found.values,
        rows=found.names,
        columns=found.names,
        limits=found.limits or (0.0, 1.0),
    )
    numbers = Numbers("association", frame, "Numbers by pair")
    note = (
        f"Of {run.looked_at}. Measures of different kinds are not on one scale; labels that go together are "
        "a hint that tasks can share, and no proof."
    )
    text_of_it = f"Closest are {closest}."
    return Section(
        "Do the labels go together?", [note, Picture("Association of labels", text_of_it, draw, numbers)]
    )


def classes(run: RunEvidence) -> Section | None:
    """Draws the confusion of each task with classes, with the scores of each class as a table."""
    parts: list[Part] = []
    for task, one in run.tasks.items():
        if len(one.confusions) > 1:
            parts += _of_labels(task, one.confusions)
        else:
            parts += [_confusion(name, found) for name, found in one.confusions.items()]
    return Section("Which classes are mixed up?", [f"Of {run.looked_at}.", *parts]) if parts else None


def _confusion(name: str, found: Confusion) -> Picture:
    """Returns the picture of a confusion, of many classes those with the most labels."""
    order = np.argsort(-found.labels, kind="stable")[:_MOST_CLASSES]
    order = np.sort(order[found.labels[order] > 0]) if len(found.names) > _MOST_CLASSES else np.sort(order)
    counts = found.counts[np.ix_(order, order)]
    shares = np.divide(
        counts,
        found.labels[order][:, None],
        out=np.full(counts.shape, np.nan),
        where=found.labels[order][:, None] > 0,
    )
    names = [found.names[i] for i in order]
    few = len(order) < len(found.names)
    title = f"Confusion of {name}"
    draw = functools.partial(
        draw_matrix,
        title=title,
        x_label="answer",
        y_label="label",
        values=shares,
        rows=_short(names),
        columns=_short(names),
        limits=(0.0, 1.0),
        texts=_texts(counts),
    )
    shown = f" The {len(order)} classes with the most labels are shown." if few else ""
    said = f"Accuracy {found.accuracy:.3f} of {int(found.labels.sum()):,} answers.{_mixed_up(found)}{shown}"
    return Picture(title, said, draw, Numbers(f"classes-{name}", found.frame(), "Scores by class"))


def _texts(counts: np.ndarray) -> np.ndarray:
    """Returns counts as they are written into cells: none as nothing, thousands in short."""
    short = [f"{n / 1000:.0f}k" if n >= 10_000 else str(n) if n else "" for n in counts.ravel().tolist()]
    return np.array(short).reshape(counts.shape)


def _mixed_up(found: Confusion) -> str:
    wrong = found.counts - np.diag(np.diag(found.counts))
    if not wrong.any():
        return ""
    label, answer = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f" The most frequent error takes {found.names[label]} for {found.names[answer]}, "
        f"{int(wrong.max()):,} times."
    )


def _short(names: list[str]) -> list[str]:
    return [name if len(name) <= 18 else f"{name[:17]}…" for name in names]


def _of_labels(task: str, found: Mapping[str, Confusion]) -> list[Part]:
    """Returns the scores of "yes" of each label, and pictures of the first ones."""
    frames = {name: one.frame() for name, one in found.items()}
    table = {
        "label": list(frames),
        **{
            key: [frame[key][1] for frame in frames.values()]
            for key in ("precision", "recall", "f1", "labels", "answers")
        },
    }
    name = f"Scores of “yes” by label of {task}"
    pictures = [_confusion(name, one) for name, one in list(found.items())[:_MOST_LABELS]]
    return [Numbers(f"labels-{task}", table, name, is_open=len(table["label"]) <= 12), *pictures]


def reliability(run: RunEvidence) -> Section | None:
    """Draws accuracy by confidence of each task with classes."""
    pictures = [
        _reliability(task, one.calibration) for task, one in run.tasks.items() if one.calibration is not None
    ]
    note = (
        f"Of {run.looked_at}. Bars below the diagonal are answers that the model is too sure of; the "
        "expected calibration error (ECE) is the mean distance from it."
    )
    return Section("Is the model as sure as it is right?", [note, *pictures]) if pictures else None


def _reliability(task: str, found: Calibration) -> Picture:
    frame = found.frame()
    known = found.counts > 0
    gap = np.where(known, np.nan_to_num(found.confidence - found.accuracy), 0.0)
    mean = float((gap * found.counts).sum() / found.counts.sum())
    way = "too sure" if mean > 0 else "not sure enough"
    count = int(found.counts.sum())
    said = f"ECE {found.ece:.3f} over {count:,} answers; on average {way} by {abs(mean):.3f}."
    titled = dataclasses.replace(found, title=f"Reliability of {task}")
    return Picture(
        f"Reliability of {task}",
        said,
        titled.plot,
        Numbers(f"reliability-{task}", frame, "Numbers by confidence"),
        {"#ffffff": "paper"},
    )


def numbers(run: RunEvidence) -> Section | None:
    """Draws the answers of tasks of numbers by their labels."""
    pictures = [
        _points(name, found.labels, found.answers)
        for one in run.tasks.values()
        for name, found in list(one.numbers.items())[:_MOST_LABELS]
    ]
    return Section("Numbers answered", [f"Of {run.looked_at}.", *pictures]) if pictures else None


def _points(name: str, labels: Any, answers: Any) -> Picture:
    error = np.abs(labels - answers)
    title = f"Answers of {name}"
    draw = functools.partial(
        draw_points, title=title, x_label="label", y_label="answer", x=labels, y=answers, diagonal=True
    )
    said = (
        f"{len(labels)} examples: mean absolute error {text(float(error.mean()))}, the largest "
        f"{text(float(error.max()))}; labels from {text(float(labels.min()))} to {text(float(labels.max()))}."
    )
    table = {"label": labels.tolist(), "answer": answers.tolist()}
    return Picture(title, said, draw, Numbers(f"numbers-{name}", table, "Labels and answers"))
