"""Whether the tasks' gradients agree, counted from the inner products that a balancer sees."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

COSINES, PAIRS, SHARES = "watched_cosines", "watched_pairs", "watched_shares"


def start(count: int) -> dict[str, np.ndarray]:
    """Returns what is counted, by name, as it is before the first step of an epoch."""
    return {
        COSINES: np.zeros((count, count), "float32"),
        PAIRS: np.zeros((count, count), "float32"),
        SHARES: np.zeros((count,), "float32"),
    }


def seen(memory: Mapping[str, Any], gram: Any, present: Any) -> dict[str, Any]:
    """Returns what is counted after a step.

    Args:
        memory: What was counted before.
        gram: Inner products of the task gradients over the whole batch, shape `(K, K)`; all finite.
        present: 1 where a task has labels in the batch, else 0, shape `(K,)`.
    """
    squares = ops.diagonal(gram)
    there = present * ops.cast(squares > 0, gram.dtype)
    norms = ops.sqrt(ops.where(there > 0, squares, 1.0))
    cosines = ops.clip(gram / norms / ops.expand_dims(norms, -1), -1.0, 1.0)
    pairs = there * ops.expand_dims(there, -1)
    shares = ops.divide_no_nan(norms * there, ops.sum(norms * there))
    return {
        COSINES: memory[COSINES] + cosines * pairs,
        PAIRS: memory[PAIRS] + pairs,
        SHARES: memory[SHARES] + shares,
    }


def logs(memory: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, float]:
    """Returns the means over the steps that were counted: of cosines by two tasks, of shares by task.

    NaN where no step had labels of the task, or of both.
    """
    cosines, pairs, shares = (np.asarray(ops.convert_to_numpy(memory[n])) for n in (COSINES, PAIRS, SHARES))
    means = np.where(pairs > 0, cosines / np.maximum(pairs, 1), np.nan)
    of_task = np.where(np.diag(pairs) > 0, shares / np.maximum(np.diag(pairs), 1), np.nan)
    return {
        **{
            f"{tasks[i]}_{tasks[j]}_cosine": float(means[i, j])
            for i, j in itertools.combinations(range(len(tasks)), 2)
        },
        **{f"{task}_gradient_share": float(share) for task, share in zip(tasks, of_task, strict=True)},
    }
