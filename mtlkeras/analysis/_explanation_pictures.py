"""Drawings of what the parts of an input add to an answer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras.analysis._pictures import COLOURS, name_axes

_MOST_BARS = 30
_MORE, _LESS = COLOURS[0], COLOURS[1]


def figure_size(explanations: Sequence[Any], example: int) -> tuple[float, float]:
    """Returns width and height in inches for explanations of one example side by side."""
    pictures = _of_pictures(explanations[0])
    bars = max(len(_bars(explanation, example)) for explanation in explanations)
    width = 7.0 if pictures else 5.5
    return width * len(explanations), 0.9 + 3.2 * len(pictures) + (1.0 + 0.22 * bars if bars else 0.0)


def draw_explanation(figure: Any, explanation: Any, example: int) -> None:
    """Draws one example into a figure, or a part of one."""
    pictures, bars = _of_pictures(explanation), _bars(explanation, example)
    heights = [3.2] * len(pictures) + ([1.0 + 0.22 * len(bars)] if bars else [])
    title = f"{explanation.task}, {explanation.method}: {explanation.targets[example]}"
    before, after = explanation.baseline_scores[example], explanation.scores[example]
    change = f"{before:.3g} without, {after:.3g} with the input"
    figure.suptitle(f"{textwrap.fill(title, 70)}\n{change}", fontsize=10)
    if not heights:
        return
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for row, part in enumerate(pictures):
        _draw_picture(figure, grid, row, part, example)
    if bars:
        _draw_bars(figure.add_subplot(grid[len(pictures), :]), bars, explanation)


def _of_pictures(explanation: Any) -> list[Any]:
    return [part for part in explanation.parts.values() if part.values.ndim == 4]


def _draw_picture(figure: Any, grid: Any, row: int, part: Any, example: int) -> None:
    picture = part.values[example].astype("float64")
    low, high = np.nanmin(picture), np.nanmax(picture)
    picture = (picture - low) / ((high - low) or 1.0)
    shown = picture if picture.shape[-1] == 3 else picture[..., 0]
    heat = part.attributions[example]
    heat = heat.sum(axis=-1) if heat.ndim == 3 else heat
    largest = float(np.abs(heat).max()) or 1.0
    left, right = (figure.add_subplot(grid[row, column]) for column in (0, 1))
    left.imshow(shown, cmap="gray", vmin=0, vmax=1)
    image = right.imshow(heat, cmap="RdBu", vmin=-largest, vmax=largest)
    name_axes(left, f"Input '{part.name}'", "column (pixels)", "row (pixels)")
    name_axes(right, "Blue adds, red takes away", "column (pixels)", "row (pixels)")
    bar = figure.colorbar(image, ax=right, shrink=0.8)
    bar.set_label("contribution to the score", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _bars(explanation: Any, example: int) -> list[tuple[str, float]]:
    """Returns names and contributions of all places but pixels: the largest, in the order of the input."""
    found = []
    for part in explanation.parts.values():
        if part.values.ndim == 4:
            continue
        flat, values = (a[example : example + 1].reshape(-1) for a in (part.attributions, part.values))
        # The dimensions of a token of floats are shown as one.
        if part.attributions.ndim == 3:
            flat = part.attributions[example].sum(axis=-1)
            values = np.array([f"step {i}" for i in range(len(flat))], object)
        several = len(flat) > 1
        for place, (value, added) in enumerate(zip(values, flat, strict=False)):
            if not (isinstance(value, str) and value == ""):
                found.append((_label(part.name, place if several else None, value), float(added)))
    largest = sorted(range(len(found)), key=lambda i: -abs(found[i][1]))[:_MOST_BARS]
    return [found[i] for i in sorted(largest)]


def _label(name: str, place: int | None, value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return f"{name} = {value}"[:40] if place is None else value[:40]
    shown = f"{float(value):.4g}"
    return f"{name} = {shown}" if place is None else f"{name}[{place}] = {shown}"


def _draw_bars(axis: Any, bars: list[tuple[str, float]], explanation: Any) -> None:
    names, values = zip(*bars, strict=True)
    axis.barh(range(len(values)), values, color=[_MORE if v >= 0 else _LESS for v in values])
    axis.axvline(0.0, color="k", linewidth=0.8)
    axis.set_yticks(range(len(values)), names)
    axis.invert_yaxis()
    total = sum(part.attributions[0].size for part in explanation.parts.values() if part.values.ndim != 4)
    title = "Adds to the score (right), takes away (left)"
    title += f": the {len(bars)} largest" if total > len(bars) == _MOST_BARS else ""
    name_axes(axis, title, "contribution to the score", "part of the input")
