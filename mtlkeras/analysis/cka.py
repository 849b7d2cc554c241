"""How alike two representations of the same examples are."""

from __future__ import annotations

import numpy as np

from mtlkeras._types import ArrayLike
from mtlkeras.analysis._arrays import feature_matrix


def cka(a: ArrayLike, b: ArrayLike, debiased: bool = False) -> float:
    """Returns the linear centred kernel alignment of two representations of the same examples.

    ||B' A||^2 / (||A' A|| ||B' B||) in Frobenius norms, for the centred features A and B: 1 where one is the
    other but for a rotation, a shift and one scale, near 0 where they have nothing in common. With more
    features than examples it is high by chance; `debiased` puts an unbiased estimate in place of each of the
    three numbers (Hilbert-Schmidt independence criteria), so that the mean over draws of independent features
    is near 0, and may then be negative; NaN where it finds nothing in one of the two, as all examples are as
    far from each other.

    Args:
        a: Shape `(examples, features)`; further axes are taken as more features.
        b: Shape `(examples, other features)`, of the same examples in the same order.
        debiased: Whether to take the unbiased estimates, which need at least 4 examples.

    Raises:
        ValueError: If there are other or too few examples, a number is not finite, or all examples have the
            same features.

    Example:

    ```python
    a = np.random.default_rng(0).normal(size=(100, 8))
    mtlkeras.analysis.cka(a, 3.0 * a[:, ::-1] + 1.0)  # 1.0
    ```

    References:
        - Kornblith et al. 2019, Similarity of Neural Network Representations Revisited (linear CKA).
        - Song et al. 2012, Feature Selection via Dependence Maximization (the unbiased estimate).
        - Nguyen, Raghu and Kornblith 2021, Do Wide and Deep Networks Learn the Same Things? (CKA by it).
    """
    least = 4 if debiased else 2
    a, b = (feature_matrix(x, f"cka: {name}", least) for x, name in ((a, "a"), (b, "b")))
    if len(a) != len(b):
        raise ValueError(f"cka: a has {len(a)} examples, b {len(b)}; expected the same ones.")
    a, b = (_centred(x, name) for x, name in ((a, "a"), (b, "b")))
    criterion = _unbiased if debiased else _biased
    of_both, of_a, of_b = criterion(a, b), criterion(a, a), criterion(b, b)
    nothing = any(of_one <= 1e-12 * _biased(x, x) for of_one, x in ((of_a, a), (of_b, b)))
    return float("nan") if nothing else float(of_both / np.sqrt(of_a * of_b))


def _centred(x: np.ndarray, name: str) -> np.ndarray:
    """Returns features of mean 0, on a scale on which squares neither overflow nor vanish."""
    spread = np.abs(x).max(initial=0.0)
    x = x - x.mean(axis=0)
    largest = np.abs(x).max(initial=0.0)
    if largest <= 1e-12 * spread:
        raise ValueError(f"cka: {name} has the same features for all examples.")
    return x / largest


def _biased(a: np.ndarray, b: np.ndarray) -> float:
    """Returns ||B' A||^2, by the kernels of the examples where these are smaller."""
    if len(a) < max(a.shape[1], b.shape[1]):
        return float(np.sum((a @ a.T) * (b @ b.T)))
    return float(np.sum((a.T @ b) ** 2))


def _unbiased(a: np.ndarray, b: np.ndarray) -> float:
    """Returns n (n - 3) times HSIC_1 of the linear kernels, their diagonals left out (Song et al. 2012)."""
    n = len(a)
    (of_a, rows_a), (of_b, rows_b) = (_diagonal_and_rows(x) for x in (a, b))
    trace = _biased(a, b) - of_a @ of_b
    return float(
        trace + rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2)) - 2.0 * (rows_a @ rows_b) / (n - 2)
    )


def _diagonal_and_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the diagonal of a linear kernel, and the sums of its rows without that."""
    diagonal = np.sum(x * x, axis=1)
    return diagonal, x @ x.sum(axis=0) - diagonal
