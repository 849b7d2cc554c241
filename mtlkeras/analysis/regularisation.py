"""What regularisation brings for the fit that it takes away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import PathLike
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure

_NAME = "regularisation_efficiency"
_KEYS = ("task", "train", "test", "setting", "series")
_SIGNS = {"up": 1.0, "down": -1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class SweepCurve:
    """Gap and score of a task over a sweep, from the largest gap to the smallest.

    Args:
        task: The task.
        series: Which of several sweeps, such as "together" or "alone"; `""` if there is one.
        settings: What was set at each point, as text.
        gaps: How much better the score is on the training split than on the test split.
        scores: The score on the test split, with its sign turned where lower is better.
        efficiency: Score gained for each unit of gap closed: the slope of the line of least squares of
            `scores` on `gaps`, its sign turned.
    """

    task: str
    series: str
    settings: tuple[str, ...]
    gaps: np.ndarray
    scores: np.ndarray
    efficiency: float

    @property
    def name(self) -> str:
        """The task, with the series where there is one."""
        return f"{self.task}, {self.series}" if self.series else self.task


@dataclasses.dataclass(frozen=True, eq=False)
class RegularisationEfficiency:
    """Gaps and scores over sweeps of regularisation; made by `regularisation_efficiency`.

    Args:
        curves: One for each task and series.
    """

    curves: tuple[SweepCurve, ...]

    @property
    def efficiency(self) -> dict[str, float]:
        """The number of each curve, by task, or `"task, series"`."""
        return {curve.name: curve.efficiency for curve in self.curves}

    def frame(self) -> Table:
        """Returns a row for each curve as columns by name: its number, and its point of the best score."""
        best = [int(np.argmax(curve.scores)) for curve in self.curves]
        return {
            "task": [curve.task for curve in self.curves],
            "series": [curve.series for curve in self.curves],
            "efficiency": [curve.efficiency for curve in self.curves],
            "best_setting": [curve.settings[i] for curve, i in zip(self.curves, best, strict=True)],
            "best_gap": [float(curve.gaps[i]) for curve, i in zip(self.curves, best, strict=True)],
            "settings": [len(curve.settings) for curve in self.curves],
        }

    def points(self) -> Table:
        """Returns a row for each point of each curve as columns by name, as `pandas` takes them."""
        return {
            "task": [curve.task for curve in self.curves for _ in curve.settings],
            "series": [curve.series for curve in self.curves for _ in curve.settings],
            "setting": [setting for curve in self.curves for setting in curve.settings],
            "gap": [float(gap) for curve in self.curves for gap in curve.gaps],
            "score": [float(score) for curve in self.curves for score in curve.scores],
        }

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws scores against gaps with their lines, a part for each task; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        tasks = list(dict.fromkeys(curve.task for curve in self.curves))
        figure = new_figure(1.0 + 4.0 * len(tasks), 4.0)
        axes = dict(zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True))
        for task, axis in axes.items():
            own = [curve for curve in self.curves if curve.task == task]
            for curve, colour in zip(own, COLOURS * len(own), strict=False):
                _draw(axis, curve, colour)
            axis.legend(fontsize=8, frameon=False)
            axis.grid(alpha=0.3)
            name_axes(axis, f"Regularisation of {task}", "gap: training less test score", "test score")
        return finished(figure, path)


def regularisation_efficiency(
    rows: Iterable[Mapping[str, Any]], directions: str | Mapping[str, str] = "up"
) -> RegularisationEfficiency:
    """Measures what a sweep of regularisation (L2, dropout, sharing) gains for the overfitting it undoes.

    For each task, and each series, the efficiency is -b of the line of least squares, score = a + b gap,
    through the points of the sweep, where the gap is how much better the training score is than that on the
    test split, both with the sign turned where lower is better. It is the test score gained for each unit of
    gap closed:

    - 1: the training score stayed, and all that the gap lost went into the test score;
    - between: part was paid with the training score;
    - 0: the gap closed as the model fitted less, and nothing was gained;
    - below 0: test scores fell, too.

    Means over seeds at each setting are best: noise of the test score is in the gap as well, and draws the
    number towards 1.

    Args:
        rows: For each point a mapping with `"task"`, `"train"` and `"test"`, the scores on both splits; and
            if wanted `"setting"`, what was set, and `"series"`, such as "together" and "alone", whose sweeps
            are measured apart.
        directions: `"up"` where higher scores are better, `"down"` where lower are, for all or by task.

    Raises:
        ValueError: If there is no row, a key is not known or missing, a score is not finite, or a sweep has
            one setting or one gap only.

    Example:

    ```python
    rows = [
        {"task": "a", "setting": "l2=0", "train": 0.99, "test": 0.80},
        {"task": "a", "setting": "l2=1e-4", "train": 0.97, "test": 0.84},
        {"task": "a", "setting": "l2=1e-3", "train": 0.93, "test": 0.86},
    ]
    found = mtlkeras.analysis.regularisation_efficiency(rows)
    found.efficiency  # {'a': 0.5}: half of what the gap lost was gained
    ```
    """
    groups: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    for number, row in enumerate(rows):
        task, series, point = _point(row, number)
        groups.setdefault((task, series), []).append(point)
    if not groups:
        raise ValueError(f"{_NAME}: there is no row.")
    if isinstance(directions, Mapping):
        tasks = [task for task, _ in groups]
        for task in directions:
            if task not in tasks:
                raise unknown_name("task", task, tasks, f"directions of {_NAME}")
    return RegularisationEfficiency(
        tuple(_curve(task, series, points, directions) for (task, series), points in groups.items())
    )


def _point(row: Any, number: int) -> tuple[str, str, tuple[str, float, float]]:
    """Returns of a row the task, the series, and the setting with both scores."""
    if not isinstance(row, Mapping):
        raise ValueError(f"{_NAME}: row {number} must be a dict; received {row!r}.")
    for key in row:
        if key not in _KEYS:
            raise unknown_name("key", key, _KEYS, f"row {number} of {_NAME}")
    scores = []
    for key in ("task", "train", "test"):
        if key not in row:
            raise ValueError(f"{_NAME}: row {number} has no '{key}'.")
    for key in ("train", "test"):
        try:
            scores.append(float(row[key]))
        except (TypeError, ValueError):
            raise ValueError(
                f"{_NAME}: '{key}' of row {number} must be a number; received {row[key]!r}."
            ) from None
        if not np.isfinite(scores[-1]):
            raise ValueError(f"{_NAME}: '{key}' of row {number} must be finite; received {scores[-1]}.")
    return (
        str(row["task"]),
        str(row.get("series", "")),
        (str(row.get("setting", number)), scores[0], scores[1]),
    )


def _curve(task: str, series: str, points: list[tuple[str, float, float]], directions: Any) -> SweepCurve:
    of = f"task '{task}'{f', series {series!r}' if series else ''}"
    direction = directions.get(task) if isinstance(directions, Mapping) else directions
    if direction not in _SIGNS:
        raise ValueError(f"{_NAME}: the direction of {of} must be 'up' or 'down'; received {direction!r}.")
    train, test = _SIGNS[direction] * np.array([point[1:] for point in points]).T
    gaps = train - test
    if len(points) < 2 or np.ptp(gaps) <= 1e-12 * np.abs([train, test]).max():
        raise ValueError(
            f"{_NAME}: the sweep of {of} needs settings of different gaps between training and test "
            f"score; received {len(points)} of gaps from {gaps.min():.4g} to {gaps.max():.4g}."
        )
    off = gaps - gaps.mean()
    slope = float(off @ (test - test.mean()) / (off @ off))
    order = np.argsort(-gaps, kind="stable")
    settings = tuple(points[i][0] for i in order)
    return SweepCurve(task, series, settings, gaps[order], test[order], -slope)


def _draw(axis: Any, curve: SweepCurve, colour: str) -> None:
    label = f"{curve.series or curve.task}: {curve.efficiency:.2f} a unit of gap"
    axis.plot(curve.gaps, curve.scores, "o-", color=colour, linewidth=1, label=label)
    ends = np.array([curve.gaps[0], curve.gaps[-1]])
    line = curve.scores.mean() - curve.efficiency * (ends - curve.gaps.mean())
    axis.plot(ends, line, "--", color=colour, linewidth=1)
    for gap, score, setting in zip(curve.gaps, curve.scores, curve.settings, strict=True):
        axis.annotate(setting, (gap, score), fontsize=7, xytext=(3, 3), textcoords="offset points")
