"""How well the features of a trunk suit a new task, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._types import ArrayLike, Data, PathLike
from mtlkeras.analysis._label_columns import Column, label_columns
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure
from mtlkeras.analysis._trunk_features import Places
from mtlkeras.analysis.h_score import h_score
from mtlkeras.analysis.logme import logme
from mtlkeras.heads import Head


@dataclasses.dataclass(frozen=True)
class Transferability:
    """How well the features at several places of a trunk suit a task; made by `transferability`.

    Args:
        places: Names of the places, from shallow to deep.
        logme: LogME of each, in nats an example.
        h_score: H-score of each; NaN for numbers, which have none.
        examples: How many examples have a label.
    """

    places: tuple[str, ...]
    logme: tuple[float, ...]
    h_score: tuple[float, ...]
    examples: int

    @property
    def best(self) -> str:
        """The place of the highest LogME."""
        return self.places[int(np.argmax(self.logme))]

    def frame(self) -> Table:
        """Returns the scores as columns by name, as `pandas` takes them."""
        return {"place": [*self.places], "logme": [*self.logme], "h_score": [*self.h_score]}

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws the scores by place; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        shown = [("LogME", "nats an example", self.logme)]
        if np.isfinite(self.h_score).any():
            shown.append(("H-score", "sum of squared correlations", self.h_score))
        figure = new_figure(1.5 + 3.5 * len(shown), 3.2)
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, (title, unit, values), colour in zip(axes, shown, COLOURS, strict=False):
            axis.plot(range(len(values)), values, "o-", color=colour)
            axis.set_xticks(range(len(values)), self.places, rotation=30, ha="right")
            axis.grid(alpha=0.3)
            name_axes(axis, f"{title} of {self.examples} examples", "place in the trunk", unit)
        return finished(figure, path)


def transferability(
    model: keras.Model,
    x: Data,
    y: ArrayLike,
    head: Head,
    at: Sequence[str] | str | None = None,
    batch_size: int = 32,
) -> Transferability:
    """Scores how well a trunk's features suit a task that it was not trained for, without training.

    LogME (see `logme`) and, for classes, the H-score (see `h_score`) of the features at each place. Compare
    places, or trunks on the same examples. Numbers are standardised first, so that LogME does not depend on
    their unit; yes/no labels count as two classes each, and of several columns the mean is taken.

    Args:
        model: A model with a trunk, or a functional `keras.Model` that is one.
        x: The examples, as for `predict`.
        y: Their labels for the task, as its head takes them; missing ones are left out.
        head: The head of the task: one label an example.
        at: Where to look: taps of the trunk, its other layers, or `"end"` for what its heads read; one name
            or several. By default all taps and the end. Maps have the mean over their pixels, sequences that
            over their tokens.
        batch_size: As for `predict`.

    Raises:
        ValueError: If there is no such place, labels do not fit the head or the examples, the head has labels
            of steps or pixels, or no column has two examples of different labels.

    Example:

    ```python
    trunk = mtlkeras.trunks.MLP(depth=2, width=8)
    model = mtlkeras.build_model((4,), trunk, {"a": mtlkeras.heads.Regression()})
    x = np.random.default_rng(0).normal(size=(80, 4))
    kind = (x[:, 0] > 0).astype(int)
    found = mtlkeras.analysis.transferability(model, x, kind, mtlkeras.heads.Classification(2))
    found.places  # ('hidden_1', 'hidden_2', 'end')
    found.best
    ```
    """
    columns = label_columns({"y": y}, {"y": head})
    if any(column.values.ndim > 1 for column in columns):
        raise ValueError(
            f"transferability: {type(head).__name__} has labels of steps or pixels; expected one an example."
        )
    columns = [column for column in columns if len(np.unique(column.values[~np.isnan(column.values)])) > 1]
    if not columns:
        raise ValueError("transferability: expected labels of at least two values; all are missing or alike.")
    places = Places(model, "transferability")
    chosen = [at] if isinstance(at, str) else list(at) if at is not None else places.names
    found = places.features(x, chosen, batch_size=batch_size)
    rows = len(columns[0].values)
    for place, features in found.items():
        if len(features) != rows:
            raise ValueError(f"transferability: there are {len(features)} examples and {rows} labels.")
        if not np.isfinite(features).all():
            raise ValueError(f"transferability: the features at '{place}' are not finite.")
    scores = np.array([np.mean([_scores(found[p], c) for c in columns], axis=0) for p in chosen])
    known = ~np.all([np.isnan(column.values) for column in columns], axis=0)
    return Transferability(
        tuple(chosen), tuple(scores[:, 0].tolist()), tuple(scores[:, 1].tolist()), int(known.sum())
    )


def _scores(features: np.ndarray, column: Column) -> tuple[float, float]:
    """Returns LogME and H-score of features with a constant beside them."""
    values = column.values
    with_constant = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    if column.are_numbers:
        return logme(with_constant, (values - np.nanmean(values)) / np.nanstd(values)), float("nan")
    classes = np.where(np.isnan(values), -1, values).astype("int64")
    return logme(with_constant, classes), h_score(features, classes)
