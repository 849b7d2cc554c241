"""Which classes are taken for which."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import ArrayLike, Data, Labels, PathLike
from mtlkeras.analysis._answers import answers_by_task
from mtlkeras.analysis._arrays import as_numpy
from mtlkeras.analysis._pictures import Table, finished, heat_map, name_axes, new_figure


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was answered for each; made by `confusion`.

    Args:
        names: Names of the classes.
        counts: Shape `(classes, classes)`: in row i and column j how many of class i were taken for class j.
        title: What was looked at, for the picture.
    """

    names: tuple[str, ...]
    counts: np.ndarray
    title: str = "Confusion"

    @property
    def labels(self) -> np.ndarray:
        """How many labels each class has."""
        return self.counts.sum(axis=1)

    @property
    def answers(self) -> np.ndarray:
        """How often each class was answered."""
        return self.counts.sum(axis=0)

    @property
    def precision(self) -> np.ndarray:
        """By class, how many of its answers are right; NaN of a class that was never answered."""
        return _share(np.diag(self.counts), self.answers)

    @property
    def recall(self) -> np.ndarray:
        """By class, how many of its labels were answered; NaN of a class without labels."""
        return _share(np.diag(self.counts), self.labels)

    @property
    def f1(self) -> np.ndarray:
        """By class, the harmonic mean of both; NaN of a class with neither label nor answer."""
        return _share(2 * np.diag(self.counts), self.labels + self.answers)

    @property
    def accuracy(self) -> float:
        """Share of the answers that is right."""
        return float(np.trace(self.counts) / self.counts.sum())

    def frame(self) -> Table:
        """Returns the scores of each class as columns by name, as `pandas` takes them."""
        return {
            "class": [*self.names],
            "precision": self.precision.tolist(),
            "recall": self.recall.tolist(),
            "f1": self.f1.tolist(),
            "labels": self.labels.tolist(),
            "answers": self.answers.tolist(),
        }

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws the counts, coloured by their share of the class' labels; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        size = min(2.0 + 0.5 * len(self.names), 16.0)
        figure = new_figure(size + 0.8, size)
        axis = figure.subplots()
        shares = _share(self.counts, self.labels[:, None])
        heat_map(axis, shares, self.names, self.names, (0.0, 1.0), self.counts)
        name_axes(axis, f"{self.title}: accuracy {self.accuracy:.3f}", "answer", "label")
        return finished(figure, path)


def confusion(answers: ArrayLike, labels: ArrayLike, names: Sequence[str] | int) -> Confusion:
    """Counts how often each class was answered for each, with precision and recall by class.

    Args:
        answers: Class indices, of any shape.
        labels: Class indices of the same shape; -1 or NaN where one is missing.
        names: Names of the classes by index, or how many there are.

    Raises:
        ValueError: If shapes differ, an answer or label is no class, or there is no label.

    Example:

    ```python
    found = mtlkeras.analysis.confusion([0, 1, 1, 0], [0, 1, 0, -1], ("cat", "dog"))
    found.counts     # [[1, 1], [0, 1]]
    found.precision  # [1.0, 0.5]
    ```
    """
    said, true = (as_numpy(a).astype("float64") for a in (answers, labels))
    if said.shape != true.shape:
        raise ValueError(f"confusion: answers have shape {said.shape}, labels {true.shape}; expected one.")
    classes = tuple(map(str, range(names) if isinstance(names, (int, np.integer)) else names))
    known = ~np.isnan(true) & (true != -1)
    said, true = said[known], true[known]
    for what, values in (("answers", said), ("labels", true)):
        wrong = ~((values >= 0) & (values < len(classes)) & (values % 1 == 0))
        if wrong.any():
            raise ValueError(
                f"confusion: {what} must be the classes 0 to {len(classes) - 1}; "
                f"received {values[wrong][0]:g}."
            )
    if not len(true):
        raise ValueError("confusion: there is no label.")
    return Confusion(classes, _counted(said, true, len(classes)))


def confusion_by_task(
    model: MultiTaskModel, x: Data, y: Labels, batch_size: int = 32
) -> dict[str, Confusion]:
    """Returns the confusion of each task with classes: see `confusion`.

    Of heads that tag steps or pixels each counts. Each label of `MultiLabel`, and each mask, has one of its
    own, as `task/label`, of no and yes. Tasks of numbers have none and are left out, and so are labels that
    are known to be none of the classes.

    Args:
        model: The model.
        x: The examples, as for `predict`.
        y: Their labels by task, as for `fit`; missing ones are left out.
        batch_size: As for `predict`.

    Raises:
        ValueError: If no task has classes, one has no label at all, or labels do not fit.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(3, class_names=("ant", "bee", "cat"))}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
    found = mtlkeras.analysis.confusion_by_task(model, np.ones((20, 4)), {"kind": np.arange(20) % 3})
    found["kind"].frame()["recall"]
    ```
    """
    tables = {}
    for task, found in answers_by_task(model, x, y, "confusion_by_task", batch_size).items():
        names = found.columns or (task,)
        columns = zip(
            found.answers.reshape(-1, len(names)).T, found.labels.reshape(-1, len(names)).T, strict=True
        )
        for name, (said, true) in zip(names, columns, strict=True):
            known = true >= 0
            if not known.any():
                raise ValueError(f"confusion_by_task: '{name}' has no label.")
            counts = _counted(said[known], true[known], len(found.classes))
            tables[name] = Confusion(found.classes, counts, f"Confusion of {name}")
    return tables


def _counted(said: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    pairs = true.astype("int64") * classes + said.astype("int64")
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
