"""How much one column of labels tells of another: the measures, on arrays without gaps.

Each returns NaN where there is nothing to measure: fewer than two examples, or a column of one value.
"""

from __future__ import annotations

import numpy as np


def normalised_mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the mutual information of two columns of classes over the mean of their entropies."""
    joint, by_chance, of_a, of_b = _counts(a, b)
    if len(of_a) < 2 or len(of_b) < 2:
        return float("nan")
    told = float(np.sum(joint * np.log(joint / by_chance)))
    entropies = [float(np.sum(n * np.log(len(a) / n))) for n in (of_a, of_b)]
    return float(np.clip(2.0 * told / sum(entropies), 0.0, 1.0))


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Cramér's V of two columns of classes: root of chi squared / (n (min(rows, columns) - 1))."""
    phi_squared, rows, columns = _phi_squared(a, b)
    return _v(phi_squared, rows, columns)


def corrected_cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Cramér's V with the bias of small samples taken off (Bergsma 2013)."""
    phi_squared, rows, columns = _phi_squared(a, b)
    if min(rows, columns) < 2:
        return float("nan")
    others = len(a) - 1
    phi_squared = max(0.0, phi_squared - (rows - 1) * (columns - 1) / others)
    return _v(phi_squared, rows - (rows - 1) ** 2 / others, columns - (columns - 1) ** 2 / others)


def _v(phi_squared: float, rows: float, columns: float) -> float:
    least = min(rows, columns) - 1.0
    return float(np.sqrt(min(1.0, phi_squared / least))) if least > 1e-12 else float("nan")


def _phi_squared(a: np.ndarray, b: np.ndarray) -> tuple[float, int, int]:
    """Returns chi squared over the number of examples, and how many classes occur in each."""
    joint, by_chance, of_a, of_b = _counts(a, b)
    return max(0.0, float(np.sum(joint**2 / by_chance)) / max(len(a), 1) - 1.0), len(of_a), len(of_b)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Pearson's correlation of two columns of numbers."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Spearman's correlation: Pearson's of the ranks, equal numbers sharing the mean of theirs."""
    return pearson(_ranks(a), _ranks(b))


def correlation_ratio(classes: np.ndarray, numbers: np.ndarray) -> float:
    """Returns the correlation ratio eta: the root of the share of the variance that lies between classes."""
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        return float("nan")
    _, places, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return float("nan")
    numbers = numbers - numbers.mean()
    numbers = numbers / np.abs(numbers).max()
    sums = np.bincount(places.ravel(), numbers)
    return float(np.sqrt(min(1.0, np.sum(sums**2 / counts) / np.sum(numbers**2))))


def _counts(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the counts of the pairs of classes that occur, what they would be, and those of each class.

    Would be, that is if the classes of the one told nothing of those of the other.
    """
    (_, a, of_a), (_, b, of_b) = (np.unique(v, return_inverse=True, return_counts=True) for v in (a, b))
    # By the pairs that occur: a table of all would be large for words.
    pairs, joint = np.unique(a.ravel().astype("int64") * len(of_b) + b.ravel(), return_counts=True)
    by_chance = of_a[pairs // len(of_b)] * (of_b[pairs % len(of_b)] / max(len(a), 1))
    return joint, by_chance, of_a, of_b


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[places.ravel()]
