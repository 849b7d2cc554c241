"""What the parts of an input add to an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._types import PathLike
from mtlkeras.analysis._explanation_pictures import draw_explanation, figure_size
from mtlkeras.analysis._pictures import Table, finished, new_figure


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """A part of pictures that was covered as a whole: rows, columns, and what it adds, `(examples,)`."""

    rows: slice
    columns: slice
    attributions: np.ndarray

    @property
    def name(self) -> str:
        """Its first and last rows and columns, as slices are written."""
        return f"{self.rows.start}:{self.rows.stop},{self.columns.start}:{self.columns.stop}"


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """What the places of an input, or of several that are read as one text, add to an answer.

    Args:
        name: The input, or several with `" + "` between.
        attributions: Float64, `(examples, *places)`: an entry for each number of the input, each pixel, each
            token or each category.
        values: What stands at each place, in the same shape, or with the channels of pixels behind; words of
            texts, `""` where there is none.
        patches: Of pictures that were covered patch by patch, the patches.
    """

    name: str
    attributions: np.ndarray
    values: np.ndarray
    patches: tuple[Patch, ...] = ()

    def rows(self, example: int) -> Iterator[tuple[str, Any, float]]:
        """Yields place, value and attribution of each place but padding; of pixels the channels' sum."""
        for patch in self.patches:
            shown = self.values[example, patch.rows, patch.columns]
            yield patch.name, float(shown.mean()), float(patch.attributions[example])
        found = self.attributions[example]
        found = found.sum(axis=-1) if found.ndim == 3 else found
        for index in [] if self.patches else np.ndindex(found.shape):
            value = _plain(self.values[(example, *index)])
            if value != "":
                place = "" if found.size == 1 else ",".join(map(str, index))
                yield place, value, float(found[index])


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """What the parts of inputs add to a task's answer; made by `integrated_gradients` and `occlusion`.

    Args:
        task: The task.
        method: `"integrated gradients"` or `"occlusion"`.
        targets: Of each example, what score is explained, in words.
        indices: The same as the index of the class, label, mask or number.
        scores: That score, float64 `(examples,)`.
        baseline_scores: The score of the baseline, likewise.
        parts: The attributions by input.
    """

    task: str
    method: str
    targets: tuple[str, ...]
    indices: tuple[int, ...]
    scores: np.ndarray
    baseline_scores: np.ndarray
    parts: Mapping[str, Part]

    @property
    def attributions(self) -> dict[str, np.ndarray]:
        """The attributions alone, by input."""
        return {name: part.attributions for name, part in self.parts.items()}

    @property
    def gap(self) -> np.ndarray:
        """By example, what all attributions together lack of the score less that of the baseline.

        For integrated gradients it falls with more steps (the axiom of completeness); an occlusion takes
        places away one by one, and need not add up.
        """
        sums = [p.attributions.reshape(len(self.scores), -1).sum(axis=1) for p in self.parts.values()]
        return self.scores - self.baseline_scores - np.sum(sums, axis=0)

    def frame(self) -> Table:
        """Returns a row for each place but padding as columns by name, as `pandas` takes them.

        `place` is empty for an input of one number or category, else the index within the input, from 0 on;
        of a patch of a picture its rows and columns. Channels of pixels are added up.
        """
        rows = [row for place in range(len(self.scores)) for row in self._rows(place)]
        names = ("example", "input", "place", "value", "attribution")
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}

    def top(self, count: int = 5, example: int = 0) -> list[tuple[str, Any, float]]:
        """Returns name, value and attribution of the places that add or take away most."""
        rows = sorted(self._rows(example), key=lambda row: -abs(row[-1]))[:count]
        return [(f"{row[1]}[{row[2]}]" if row[2] else row[1], row[3], row[4]) for row in rows]

    def _rows(self, example: int) -> Iterator[tuple[int, str, str, Any, float]]:
        for part in self.parts.values():
            for row in part.rows(example):
                yield example, part.name, *row

    def plot(self, path: PathLike | None = None, example: int = 0) -> Any:
        """Draws one example: pictures beside their attributions, words and columns as bars.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.
            example: Which one.

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
            IndexError: If there is no such example.
        """
        figure = new_figure(*figure_size([self], example))
        self.draw(figure, example)
        return finished(figure, path)

    def draw(self, figure: Any, example: int = 0) -> None:
        """Draws one example into a figure, or a part of one."""
        draw_explanation(figure, self, example)


def together(explanations: Sequence[Sequence[Explanation]], path: PathLike, example: int = 0) -> Any:
    """Draws explanations into one picture, a row for each task; returns the figure.

    Args:
        explanations: Those of each task.
        path: Where to write it, the ending telling the format.
        example: Which example.
    """
    sizes = [figure_size(row, example) for row in explanations]
    figure = new_figure(max(w for w, _ in sizes), sum(h for _, h in sizes))
    rows = figure.subfigures(len(explanations), 1, height_ratios=[h for _, h in sizes], squeeze=False)
    for part, row in zip(rows[:, 0], explanations, strict=True):
        cells = part.subfigures(1, len(row), squeeze=False)
        for cell, explanation in zip(cells[0], row, strict=True):
            explanation.draw(cell, example)
    return finished(figure, path)


def _plain(value: Any) -> Any:
    """Returns a value as text or number; of a pixel the mean of its channels."""
    if isinstance(value, np.ndarray):
        return float(value.mean())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
