"""The kinds of pictures in the page: lines, points, matrices; each narrow enough for a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras.analysis._pictures import COLOURS, finished, heat_map, name_axes, new_figure

WIDTH, HEIGHT = 4.2, 2.9
_STYLES = ("-", "--", ":", "-.")


def draw_lines(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float], int, str]],
    mark: float | None = None,
    limits: tuple[float, float] | None = None,
    zero: bool = False,
) -> None:
    """Draws lines, each with its places, values, number of colour and style.

    Args:
        path: Where to write the picture.
        title: Its title.
        x_label: What the horizontal axis is.
        y_label: What the vertical axis is.
        lines: The lines by name.
        mark: A place on the horizontal axis to mark.
        limits: Those of the vertical axis.
        zero: Whether zero is marked.
    """
    figure = new_figure(WIDTH, HEIGHT + 0.17 * -(-len(lines) // 2))
    axis = figure.subplots()
    if zero:
        axis.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    if mark is not None:
        axis.axvline(mark, color="0.7", linewidth=1, zorder=0)
    for name, (x, y, colour, style) in lines.items():
        marker = "." if len(x) < 4 else None
        axis.plot(x, y, style, color=COLOURS[colour % len(COLOURS)], label=name, linewidth=1.5, marker=marker)
    if limits is not None:
        axis.set_ylim(*limits)
    places = {place for x, *_ in lines.values() for place in x}
    if len(places) == 1:
        axis.set_xticks(list(places))
    else:
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.5)
    name_axes(axis, title, x_label, y_label)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    finished(figure, path)


def style_of(number: int) -> str:
    """Returns the style of a line by its number, another one where the colours begin again."""
    return _STYLES[number // len(COLOURS) % len(_STYLES)]


def draw_points(
    path: Path, title: str, x_label: str, y_label: str, x: Any, y: Any, diagonal: bool = False
) -> None:
    """Draws points, perhaps with the line on which both are equal."""
    figure = new_figure(WIDTH, WIDTH - 0.4 if diagonal else HEIGHT)
    axis = figure.subplots()
    axis.plot(x, y, ".", color=COLOURS[0], markersize=4, alpha=0.6)
    if diagonal:
        ends = float(min(np.min(x), np.min(y))), float(max(np.max(x), np.max(y)))
        axis.plot(ends, ends, "--", color="0.4", linewidth=1, label="as labelled")
        axis.legend(fontsize=8, frameon=False)
    axis.grid(alpha=0.5)
    name_axes(axis, title, x_label, y_label)
    finished(figure, path)


def draw_matrix(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    texts: np.ndarray | None = None,
) -> None:
    """Draws a matrix in colours, its numbers written in where there is room."""
    cell = 0.5 if max(values.shape) <= 12 else 0.34
    names = 0.07 * max((len(row) for row in rows), default=0) + 0.6
    width = max(WIDTH, cell * len(columns) + names)
    height = cell * len(rows) * 0.9 + 0.9 + 0.06 * max((len(c) for c in columns), default=0)
    figure = new_figure(width, max(1.6, height))
    axis = figure.subplots()
    heat_map(axis, values, rows, columns, limits, texts)
    name_axes(axis, title, x_label, y_label)
    finished(figure, path)


def draw_bars(path: Path, title: str, x_label: str, names: Sequence[str], values: Sequence[float]) -> None:
    """Draws a bar for each name, the first on top."""
    figure = new_figure(WIDTH, 1.1 + 0.24 * len(names))
    axis = figure.subplots()
    axis.barh(range(len(names)), np.nan_to_num(np.asarray(values, "float64")), color=COLOURS[0])
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.5)
    name_axes(axis, title, x_label, "")
    finished(figure, path)
