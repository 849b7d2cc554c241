"""How well a linear model of features will tell labels, by the evidence for it."""

from __future__ import annotations

import numpy as np

from mtlkeras._types import ArrayLike
from mtlkeras.analysis._arrays import feature_matrix, label_rows

# The ratios of the precisions of prior and noise that are tried, over the largest eigenvalue of F' F: first
# this grid of decimal logarithms, then finer ones around the best.
_GRID = np.linspace(-12.0, 12.0, 241)
_REFINED = 4
# Share of a label's squares below which its rest counts as 0: the evidence of a fit without any rest would
# be infinite.
_LEAST_REST = 1e-10


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Returns the log of the maximum evidence for a linear model of features: LogME, in nats an example.

    Each label column is taken as a Gaussian around a linear function of the features, with a Gaussian prior
    of its weights; the evidence is the probability of the column with the weights integrated out, at the
    precisions of prior and noise that make it largest. Of classes each has a column of 0 and 1, and the
    result is the mean over those that occur. Higher is better; only values of the same labels compare.

    There is no constant among the features, as in the paper: features whose mean is far from 0, or a column
    of ones, serve as one. Standardised numbers, as labels, make tasks comparable.

    Args:
        features: Shape `(examples, features)`; further axes are taken as more features.
        labels: Classes as whole numbers, shape `(examples,)`; or numbers as floats, shape `(examples,)` or
            `(examples, numbers)`. Examples with a missing label, -1 of classes and NaN of numbers, are left
            out.

    Raises:
        ValueError: If there are fewer than two examples with labels, features are not finite, or all labels
            are of one class.

    Example:

    ```python
    x = np.random.default_rng(0).normal(size=(200, 4))
    told = mtlkeras.analysis.logme(x, x[:, 0] + 0.1 * x[:, 1])
    untold = mtlkeras.analysis.logme(x, np.random.default_rng(1).normal(size=200))
    told > untold  # True
    ```

    Reference: You et al. 2021, LogME: Practical Assessment of Pre-trained Models for Transfer Learning.
    """
    features = feature_matrix(features, "logme: features")
    features, columns = label_rows(features, labels, "logme")
    basis, sizes, _ = np.linalg.svd(features, full_matrices=False)
    if columns.ndim == 1:
        columns = columns[:, None] == np.unique(columns)
    columns = columns.astype("float64")
    return float(np.mean([_most_evidence(basis.T @ y, sizes**2, float(y @ y), len(y)) for y in columns.T]))


def _most_evidence(told: np.ndarray, squares: np.ndarray, total: float, n: int) -> float:
    """Returns the log of the maximum evidence of one column of labels, per example.

    In the basis of the features' left singular vectors all matrices are diagonal. With the eigenvalues s of
    F' F and the ratio r of the precisions of prior and noise, the best precision of the noise is n / Q for Q
    = y' y - sum of told^2 s / (s + r), and the evidence is then a function of r alone: n/2 log(n / (2 pi e
    Q)) - 1/2 sum of log(1 + s / r). The paper finds its maximum by fixed-point steps, which slow down where
    there is little to tell; here it is looked for.

    Args:
        told: The column in the basis.
        squares: The eigenvalues.
        total: Sum of the column's squares.
        n: Number of examples.
    """
    if total == 0:
        raise ValueError("logme: a column of labels is 0 throughout.")
    largest = squares.max()
    if largest == 0:
        raise ValueError("logme: the features are 0 throughout.")
    exponents = _GRID
    for _ in range(1 + _REFINED):
        ratios = largest * 10.0 ** exponents[:, None]
        rests = total - np.sum(told**2 * squares / (squares + ratios), axis=1)
        rests = np.maximum(rests, _LEAST_REST * total)
        determinants = np.sum(np.log1p(squares / ratios), axis=1)
        evidence = 0.5 * (n * np.log(n / (2.0 * np.pi * np.e * rests)) - determinants)
        best, step = exponents[np.argmax(evidence)], exponents[1] - exponents[0]
        exponents = np.linspace(best - step, best + step, 41)
    return float(evidence.max() / n)
