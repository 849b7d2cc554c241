"""How far the best constant answer comes, which a model that learnt something is to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtlkeras._app.checks._labels import class_counts, known, no_yes_counts


@dataclass(frozen=True)
class Compared:
    """A model's answers beside a constant one, on the labels that are known.

    Args:
        count: How many labels there are.
        model: The mean score of the model, larger is better.
        constant: That of the constant answer.
        error: Standard error of their difference, which is paired.
    """

    count: int
    model: float
    constant: float
    error: float

    @property
    def gain(self) -> float:
        """By how much the model is better."""
        return self.model - self.constant


def compared(of_model: np.ndarray, of_constant: np.ndarray) -> Compared | None:
    """Compares scores of the same labels; `None` for no label."""
    count = len(of_model)
    if not count:
        return None
    difference = np.asarray(of_model, "float64") - np.asarray(of_constant, "float64")
    error = float(difference.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
    return Compared(count, float(np.mean(of_model)), float(np.mean(of_constant)), error)


def most_frequent(labels: np.ndarray, classes: int) -> int | None:
    """Returns the class with the most labels; `None` without a label."""
    counts = class_counts(labels, classes)
    return int(counts.argmax()) if counts.any() else None


def constant_score(metric: str, labels: np.ndarray, classes: int | None) -> float | None:
    """Returns what the best constant answer reaches on labels; `None` for a metric that this does not know.

    Args:
        metric: The metric: `"accuracy"` of classes or yes/no labels; `"mae"`, `"mse"`, `"rmse"` and `"r2"` of
            one column of numbers.
        labels: The labels.
        classes: How many classes there are; `None` for numbers.
    """
    there = known(labels, classes is None)
    if not there.any():
        return None
    if classes is not None:
        return _accuracy(labels, classes) if metric == "accuracy" else None
    values = np.asarray(labels, "float64")
    if values.ndim > 1 and values.shape[1] > 1:
        return None
    values = values[there]
    scores = {
        "mae": np.abs(values - np.median(values)).mean(),
        "mse": values.var(),
        "rmse": values.std(),
        "r2": 0.0,
    }
    return float(scores[metric]) if metric in scores else None


def _accuracy(labels: np.ndarray, classes: int) -> float:
    if labels.ndim > 1:
        counts = no_yes_counts(labels)
        return float(counts.max(axis=1).sum() / max(counts.sum(), 1))
    counts = class_counts(labels, classes)
    return float(counts.max() / max(counts.sum(), 1))
