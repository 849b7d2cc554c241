"""Gradients without what conflicts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import NamedTensors, Seed, Tensor
from mtlkeras.balancers._matrices import answer, precise
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec


@spec
class PCGrad(GramBalancer):
    """Projecting conflicting gradients (Yu et al. 2020).

    From each gradient its part against every other one is taken away, one other after the other
    in random order: where g_i . g_j < 0, g_i becomes g_i - (g_i . g_j / |g_j|^2) g_j (algorithm
    1). The update is the sum of what is left.

    Args:
        seed: Seed of the orders; `None` takes one from Keras' global seed.

    Reference: Gradient surgery for multi-task learning, NeurIPS 2020.

    Example:

    ```python
    weights = mtlkeras.balancers.PCGrad().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    seed: int | None = None

    def draw(self, count: int, seed: Seed) -> Tensor | None:
        # Two tasks have no order.
        return None if count == 2 else keras.random.uniform((count, count), dtype="float32", seed=seed)

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        gram = precise(problem.gram)
        squares = ops.diagonal(gram)
        rows, products = ops.eye(gram.shape[0], dtype=gram.dtype), gram
        for met, others in meetings(problem.noise, gram):
            conflict = ops.minimum(ops.sum(products * met, axis=-1), 0.0)
            share = ops.expand_dims(ops.divide_no_nan(conflict, ops.sum(met * squares, axis=-1)), -1)
            rows, products = rows - share * met, products - share * others
        return answer(ops.sum(rows, axis=0) * precise(problem.present)), {}


def meetings(noise: Any, gram: Tensor) -> list[tuple[Any, Any]]:
    """Returns whom each task meets, turn by turn.

    Args:
        noise: Numbers whose order in each row is that of the meetings, shape `(K, K)`; `None`
            for the order of the tasks.
        gram: The inner products of the gradients.

    Returns:
        Pairs of one-hot rows, zero where it is the task itself, and of the inner products of those met with
        all gradients, zero there too.
    """
    count = gram.shape[0]
    others = 1.0 - np.eye(count)
    if count == 2:  # Each meets the other one only, whatever the order.
        turns = ops.convert_to_tensor(others[:, None], gram.dtype)
    else:
        order = ops.broadcast_to(ops.arange(count), (count, count)) if noise is None else _ranks(noise)
        turns = ops.one_hot(order, count, axis=1, dtype=gram.dtype)
        turns = turns * ops.convert_to_tensor(others[:, None], gram.dtype)
    products = ops.sum(ops.expand_dims(turns, -1) * gram, axis=-2)
    number = turns.shape[1]
    return list(zip(ops.unstack(turns, number, axis=1), ops.unstack(products, number, axis=1), strict=True))


def _ranks(noise: Any) -> Tensor:
    """Returns the place of each number in the order of its row; of equal ones the first comes first."""
    mine, theirs = ops.expand_dims(noise, -1), ops.expand_dims(noise, -2)
    earlier = np.tril(np.ones((noise.shape[-1], noise.shape[-1]), bool), -1)
    before = ops.logical_or(theirs < mine, ops.logical_and(theirs == mine, earlier))
    return ops.sum(ops.cast(before, "int32"), axis=-1)
