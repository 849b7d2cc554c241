"""Scores of parts of the examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras._missing import MISSING
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.ways_in import check_arrays
from mtlkeras._types import ArrayLike, Inputs, Labels, PathLike
from mtlkeras.analysis._arrays import as_numpy
from mtlkeras.analysis._examples import count_of, input_arrays, taken
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure

_NAME = "scores_by_slice"
_MOST_VALUES = 10
ALL = "all"


@dataclasses.dataclass(frozen=True)
class SliceScores:
    """What a model reaches on parts of the examples; made by `scores_by_slice`.

    Args:
        slices: Names of the parts, the first of which is all.
        examples: How many examples are in each.
        scores: By name as `evaluate` gives them, a number for each part; NaN where the task has no label.
    """

    slices: tuple[str, ...]
    examples: tuple[int, ...]
    scores: dict[str, tuple[float, ...]]

    def frame(self) -> Table:
        """Returns the scores as columns by name, a row a part, as `pandas` takes them."""
        scores = {name: [*values] for name, values in self.scores.items()}
        return {"slice": [*self.slices], "examples": [*self.examples], **scores}

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws each score by part, all examples as a line; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        figure = new_figure(6.5, 0.8 + (0.9 + 0.3 * len(self.slices)) * len(self.scores))
        axes = figure.subplots(len(self.scores), 1, squeeze=False)[:, 0]
        labels = [f"{s} ({n})" for s, n in zip(self.slices[1:], self.examples[1:], strict=True)]
        for axis, (name, (whole, *parts)) in zip(axes, self.scores.items(), strict=True):
            axis.barh(range(len(parts)), parts, color=COLOURS[0])
            axis.axvline(whole, color=COLOURS[1], label="all examples")
            axis.set_yticks(range(len(parts)), labels)
            axis.invert_yaxis()
            name_axes(axis, f"{name} by slice", name, "slice (examples)")
        axes[0].legend(fontsize=8, frameon=False)
        return finished(figure, path)


def scores_by_slice(
    model: MultiTaskModel,
    x: Inputs,
    y: Labels,
    by: ArrayLike | str,
    bins: int = 4,
    batch_size: int = 32,
) -> SliceScores:
    """Evaluates a model on each part of the examples: by a column, a source, a length.

    Args:
        model: The model, compiled.
        x: The examples in memory.
        y: Their labels by task.
        by: What part each example is in: a value for each, or the name of an input with one. Numbers with
            more than 10 different values are cut into parts of about equal size.
        bins: How many such parts.
        batch_size: As for `evaluate`.

    Raises:
        ValueError: If the model is not compiled, examples are a data set, or `by` names no input or has not
            one value an example.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(2)}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    x, y = np.ones((6, 4)), {"kind": np.array([0, 1, 0, 1, 0, 1])}
    sources = ["web", "web", "book", "book", "web", "book"]
    found = mtlkeras.analysis.scores_by_slice(model, x, y, by=sources)
    found.frame()["slice"]  # ['all', 'book', 'web']
    ```
    """
    if not model.compiled:
        raise ValueError(f"{_NAME}: the model '{model.name}' is not compiled, so it has no metrics.")
    arrays = input_arrays(model, x, _NAME)
    labels, _ = check_arrays(y, None, model.heads)
    rows = count_of(arrays)
    if not rows:
        raise ValueError(f"{_NAME}: there are no examples.")
    for task, values in labels.items():
        if len(values) != rows:
            raise ValueError(f"{_NAME}: task '{task}' has {len(values)} labels for {rows} examples.")
    parts = {ALL: np.ones(rows, bool)} | _parts(_values(arrays, by, rows), whole_number(_NAME, "bins", bins))
    logs = [_evaluated(model, arrays, labels, part, batch_size) for part in parts.values()]
    labelled = [task for task, values in labels.items() if _any_known(values)]
    names = [name for name in logs[0] if _task_of(name, model.heads) in (None, *labelled)]
    return SliceScores(
        tuple(parts),
        tuple(int(part.sum()) for part in parts.values()),
        {name: tuple(log.get(name, np.nan) for log in logs) for name in names},
    )


def _values(arrays: Any, by: Any, rows: int) -> np.ndarray:
    """Returns the value that each example is put in a part by."""
    if isinstance(by, str):
        inputs = arrays if isinstance(arrays, Mapping) else {}
        if by not in inputs:
            raise unknown_name("input", by, inputs, f"by= of {_NAME}")
        by = inputs[by]
    values = as_numpy(by)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise ValueError(
            f"{_NAME}: by= needs a value for each of {rows} examples; received shape {values.shape}."
        )
    return values


def _parts(values: np.ndarray, bins: int) -> dict[str, np.ndarray]:
    """Returns the examples of each part as a mask, by its name."""
    if values.dtype.kind in "iuf":
        numbers = values.astype("float64")
        known = numbers[~np.isnan(numbers)]
        if len(np.unique(known)) > _MOST_VALUES:
            return _cut(numbers, np.unique(np.quantile(known, np.linspace(0, 1, bins + 1))))
        texts = np.array([f"{value:g}" for value in numbers])
    else:
        decoded = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]
        texts = np.array(decoded, str)
    order = np.unique(values) if values.dtype.kind in "iufb" else np.unique(texts)
    names = dict.fromkeys(f"{v:g}" if values.dtype.kind in "iuf" else str(v) for v in order.tolist())
    return {name: texts == name for name in names}


def _cut(numbers: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the parts between edges, the upper of which is in, and that of numbers that are missing."""
    places = np.searchsorted(edges[1:-1], numbers, side="left")
    names = [f"{low:g} to {high:g}" for low, high in zip(edges, edges[1:], strict=False)]
    parts = {name: (places == i) & ~np.isnan(numbers) for i, name in enumerate(names)}
    missing = {"nan": np.isnan(numbers)} if np.isnan(numbers).any() else {}
    return parts | missing


def _evaluated(
    model: Any, arrays: Any, labels: Mapping[str, np.ndarray], part: np.ndarray, batch_size: int
) -> dict[str, float]:
    """Returns the scores of a part, with NaN for those of tasks that have no label there."""
    own = {task: values[part] for task, values in labels.items()}
    logs = model.evaluate(taken(arrays, part), own, batch_size=batch_size, verbose=0, return_dict=True)
    bare = [task for task in model.heads if task not in own or not _any_known(own[task])]
    return {name: np.nan if _task_of(name, model.heads) in bare else value for name, value in logs.items()}


def _any_known(values: np.ndarray) -> bool:
    gaps = np.isnan(values) if values.dtype.kind == "f" else values == MISSING
    return bool((~gaps).any())


def _task_of(name: str, tasks: Any) -> str | None:
    """Returns the task of a name in the logs: the longest that it begins with."""
    return max((task for task in tasks if name.startswith(f"{task}_")), key=len, default=None)
