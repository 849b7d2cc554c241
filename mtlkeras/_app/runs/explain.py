"""What the answers to one example are made of, as a picture, a table and lines."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtlkeras.analysis import Explanation, integrated_gradients, occlusion
from mtlkeras.analysis._pictures import new_figure
from mtlkeras.analysis.explanation import together

_ENDINGS = (".png", ".svg", ".pdf")
_TOP = 5
_INEXACT = 0.05
"""Share of a change that integrated gradients may miss before that is said."""


def check_picture(path: str) -> None:
    """Raises an error if a picture cannot be written under this name, before anything is computed.

    Raises:
        ValueError: If the name has another ending.
        ImportError: If matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        raise ValueError(f"--explain {path}: expected a name that ends in {', '.join(_ENDINGS)}.")
    new_figure(1, 1)


def explain(model: Any, inputs: Any, path: str, at: int | None, say: Callable[[str], None]) -> Iterator[str]:
    """Explains a model's answers to one example; yields lines of what adds and takes away most.

    Args:
        model: The model.
        inputs: The inputs of one example.
        path: Where to write the picture; its numbers come beside it as `.csv`.
        at: For tasks that answer for every step: which step; `None` leaves these out.
        say: Takes notes on what could not be explained.
    """
    found = [rows for task in model.heads if (rows := _of_task(model, inputs, task, at, say))]
    if not found:
        say("explanation: there is none, so no picture was written.")
        return
    together(found, path)
    table = Path(path).with_suffix(".csv")
    _write(table, [explanation for rows in found for explanation in rows])
    for explanation in (explanation for rows in found for explanation in rows):
        yield from _lines(explanation)
    say(f"explanation: {path}, numbers: {table}")


def _of_task(
    model: Any, inputs: Any, task: str, at: int | None, say: Callable[[str], None]
) -> list[Explanation]:
    by_step = hasattr(model.heads[task], "steps")
    if by_step and at is None:
        say(f"explanation: task '{task}' answers for every step; choose one with --at N, from 0 on.")
        return []
    place = at if by_step else None
    found = [occlusion(model, inputs, task, at=place)]
    try:
        return [integrated_gradients(model, inputs, task, list(found[0].indices), at=place), *found]
    except ValueError as error:  # A model may have no gradients where occlusion can do without.
        say(f"explanation: {error}")
        return found


def _lines(explanation: Explanation) -> Iterator[str]:
    before, after = explanation.baseline_scores[0], explanation.scores[0]
    yield (
        f"{explanation.task}, {explanation.method}: {explanation.targets[0]}, {before:.4g} without the "
        f"input, {after:.4g} with it"
    )
    if explanation.method != "occlusion" and abs(explanation.gap[0]) > _INEXACT * abs(after - before):
        yield f"  the parts miss {explanation.gap[0]:+.4g} of the change: take them as a sketch"
    for name, value, added in explanation.top(_TOP):
        shown = f"{value:.4g}" if isinstance(value, float) else value
        yield f"  {added:+.4g}  {name} = {shown}"


def _write(path: Path, explanations: list[Explanation]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("task", "method", "target", "input", "place", "value", "attribution"))
        for one in explanations:
            columns = one.frame()
            for row in zip(*(columns[n] for n in ("input", "place", "value", "attribution")), strict=True):
                cells = (f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row)
                writer.writerow((one.task, one.method, one.targets[0], *cells))
