"""Focal losses, from scores, with finite gradients at scores of any size.

Lin, Goyal, Girshick, He and Dollar 2017, Focal Loss for Dense Object Detection, eq. 4:
FL = -(1 - p)^gamma log p for the probability p of what the label says. The factor is computed as
exp(gamma log(1 - p)), for the power of a difference that rounds to 0 has no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import Tensor


def check_gamma(owner: str, gamma: Any) -> None:
    """Raises `ValueError` unless gamma is a finite number, not negative."""
    if not isinstance(gamma, (int, float, np.number)) or not (np.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"{owner}: focal_gamma must be a finite number, not negative; received {gamma!r}.")


def focal_crossentropy(rows: Tensor, scores: Tensor, gamma: float) -> Tensor:
    """Returns the focal loss of a softmax, shape `(batch,)`.

    Args:
        rows: The label's share of each class, shape `(batch, classes)`. The loss of a row is the
            sum over its classes of share times focal loss.
        scores: Shape `(batch, classes)`.
        gamma: Focusing parameter; 0 gives the cross-entropy.
    """
    log_p = ops.log_softmax(scores, axis=-1)
    best = ops.one_hot(ops.argmax(scores, axis=-1), scores.shape[-1], dtype="bool")
    # 1 - p is what the other classes have. Of all classes only the best may come close to p = 1,
    # where it has to be summed; elsewhere p is at most one half.
    others = ops.logsumexp(ops.where(best, -1e30, log_p), axis=-1, keepdims=True)
    log_rest = ops.where(best, others, ops.log1p(-ops.where(best, 0.0, ops.exp(log_p))))
    return -ops.sum(rows * ops.exp(gamma * log_rest) * log_p, axis=-1)


def focal_binary_crossentropy(targets: Tensor, scores: Tensor, gamma: float) -> Tensor:
    """Returns the focal loss of each yes/no entry.

    Args:
        targets: Shares of "yes", of the shape of the scores.
        scores: Log-odds of "yes".
        gamma: Focusing parameter; 0 gives the binary cross-entropy.
    """
    no_yes, no_no = ops.softplus(-scores), ops.softplus(scores)  # -log p and -log(1 - p).
    yes = targets * ops.exp(-gamma * no_no) * no_yes
    return yes + (1.0 - targets) * ops.exp(-gamma * no_yes) * no_no
