"""How much of the variance of features lies between classes."""

from __future__ import annotations

import numpy as np

from mtlkeras._types import ArrayLike
from mtlkeras.analysis._arrays import feature_matrix, label_rows


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Returns the H-score of features for classes: the trace of cov(f)^-1 cov(E[f | class]).

    It is the sum of the squared canonical correlations of features and classes: 0 where all classes have the
    same mean, at most the lesser of the number of features and that of classes less one, where a linear model
    tells all classes. Directions in which the features do not vary are left out. With as many features as
    examples it is at its largest by chance.

    Args:
        features: Shape `(examples, features)`; further axes are taken as more features.
        labels: Classes as whole numbers, shape `(examples,)`; -1 where one is missing.

    Raises:
        ValueError: If labels are no classes, all of one class, or of fewer than two examples, or features are
            not finite.

    Example:

    ```python
    kind = np.arange(90) % 3
    mtlkeras.analysis.h_score(np.eye(3)[kind], kind)  # 2.0
    ```

    Reference: Bao et al. 2019, An Information-Theoretic Approach to Transferability in Task Transfer
        Learning.
    """
    features, classes = label_rows(feature_matrix(features, "h_score: features"), labels, "h_score")
    if classes.ndim > 1:
        raise ValueError("h_score: expected classes as whole numbers; received floats. For these take logme.")
    centred = features - features.mean(axis=0)
    basis, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    rounding = np.finfo("float64").eps * max(features.shape) * np.linalg.norm(features)
    directions = basis[:, sizes > rounding]
    # In these directions the covariance is that of orthonormal columns, so the trace is one of means alone.
    _, places, counts = np.unique(classes, return_inverse=True, return_counts=True)
    sums = (places.ravel() == np.arange(len(counts))[:, None]) @ directions
    return float(np.sum(sums**2 / counts[:, None]))
