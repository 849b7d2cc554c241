"""What the pictures of measures have in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras._types import PathLike

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

_MOST_WITH_TEXT = 30

Table = dict[str, list[Any]]
"""Columns by name, all of one length: what `pandas.DataFrame` takes."""


def new_figure(width: float, height: float) -> Any:
    """Returns an empty figure, its size in inches.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("Pictures need matplotlib: pip install 'mtlkeras[plots]'.")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def finished(figure: Any, path: PathLike | None) -> Any:
    """Writes a figure where that is asked, the path's ending telling the format; returns it."""
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def name_axes(axis: Any, title: str, x: str, y: str) -> None:
    """Gives a picture its title and the names of its axes."""
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)


def heat_map(
    axis: Any,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    texts: np.ndarray | None = None,
) -> None:
    """Draws a matrix in colours, with its numbers written in where there is room; NaN is left empty.

    Args:
        axis: Where to draw.
        values: The matrix.
        rows: Names of the rows.
        columns: Names of the columns.
        limits: What the ends of the colours stand for; a negative lower one takes colours of two hues.
        texts: What to write in place of the numbers, an array of the same shape.
    """
    low, high = limits
    image = axis.imshow(values, cmap="RdBu" if low < 0 else "Blues", vmin=low, vmax=high, aspect="auto")
    axis.set_yticks(range(len(rows)), rows)
    turned = {"rotation": 45, "ha": "right"} if max(map(len, columns)) > 3 else {}
    axis.set_xticks(range(len(columns)), columns, **turned)
    if max(values.shape) > _MOST_WITH_TEXT:
        return
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isfinite(value):
            text = f"{value:.2f}" if texts is None else str(texts[row, column])
            colour = readable_on(image.to_rgba(value))
            axis.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def readable_on(colour: Sequence[float]) -> str:
    """Returns black or white, whichever has the greater contrast to a colour of red, green and blue.

    That is at least 4.58, above the 4.5 that WCAG 2.2 asks of text.
    """
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in map(float, colour[:3])]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "w" if (luminance + 0.05) ** 2 < 1.05 * 0.05 else "k"
