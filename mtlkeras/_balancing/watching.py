"""Whether the tasks' gradients agree, counted from the inner products that a balancer sees."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

WATCHED = "watched"
"""What is counted: sums over steps of cosines and of whether both tasks had a gradient, and of shares."""


def start(count: int) -> dict[str, np.ndarray]:
    """Returns what is counted, by name, as it is before the first step of an epoch."""
    return {WATCHED: np.zeros((2 * count + 1, count), "float32")}


def seen(gram: Any) -> Any:
    """Returns what a step adds to the sums, zeros if a gradient is not finite.

    A step of a small model takes no longer than some hundreds of such operations, so these are few.

    Args:
        gram: Inner products of the task gradients over the whole batch, shape `(K, K)`, up to a common
            factor; zero where a task has no labels in the batch.
    """
    norms = ops.sqrt(ops.diagonal(gram))
    lengths = ops.reshape(norms, (-1, 1)) * norms
    total = ops.sum(norms)
    shares = ops.divide_no_nan(norms, total)
    added = [ops.divide_no_nan(gram, lengths), ops.sign(lengths), ops.reshape(shares, (1, -1))]
    return ops.where(ops.isfinite(total), ops.concatenate(added), 0.0)


def logs(memory: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, float]:
    """Returns the means over the steps that were counted: of cosines by two tasks, of shares by task.

    NaN where no step had labels of the task, or of both.
    """
    sums = np.asarray(ops.convert_to_numpy(memory[WATCHED]))
    cosines, pairs, shares = np.split(sums, [len(tasks), 2 * len(tasks)])
    # Rounded they may be a little more than that of gradients that are alike.
    means = np.clip(np.where(pairs > 0, cosines / np.maximum(pairs, 1), np.nan), -1.0, 1.0)
    of_task = np.where(np.diag(pairs) > 0, shares[0] / np.maximum(np.diag(pairs), 1), np.nan)
    return {
        **{
            f"{tasks[i]}_{tasks[j]}_cosine": float(means[i, j])
            for i, j in itertools.combinations(range(len(tasks)), 2)
        },
        **{f"{task}_gradient_share": float(share) for task, share in zip(tasks, of_task, strict=True)},
    }
