"""Answers for every pixel beside what is there."""

from __future__ import annotations

import functools

import numpy as np

from mtlkeras._app.report.answers import draw_panels
from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.parts import Numbers, Picture, Section


def masks(run: RunEvidence) -> Section | None:
    """Draws inputs, labels and answers of heads that have one for each pixel."""
    if run.pictures is None or not run.panels:
        return None
    rows = range(len(run.pictures))
    told = [
        (panel.name, i + 1, *_agreement(panel.truth[i], panel.answer[i]))
        for panel in run.panels
        for i in rows
    ]
    table = {name: [row[i] for row in told] for i, name in enumerate(("task", "picture", "measure", "value"))}
    titles = ", ".join(panel.name for panel in run.panels)
    said = (
        f"{len(run.pictures)} pictures, one a row: the input, then truth and answer of {titles}; grey has no "
        "label."
    )
    draw = functools.partial(draw_panels, pictures=run.pictures, panels=run.panels)
    picture = Picture("Answers for every pixel", said, draw, Numbers("masks", table, "Numbers by picture"))
    note = "The examples with the most labels among those looked at; axes are pixels."
    return Section("Answers for every pixel", [note, picture])


def _agreement(truth: np.ndarray, answer: np.ndarray) -> tuple[str, float]:
    known = np.isfinite(truth)
    if not known.any():
        return "no label", float("nan")
    if answer.dtype.kind == "f":
        return "mean absolute error", float(np.abs(truth[known] - answer[known]).mean())
    return "share of pixels right", float((truth[known] == answer[known]).mean())
