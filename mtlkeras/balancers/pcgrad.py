"""Gradients without what conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from mtlkeras._backends import matmul
from mtlkeras.balancers._solvers import answer, precise
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

    def draw(self, count: int, seed: Any) -> Any:
        return keras.random.uniform((count, count), dtype="float32", seed=seed)

    def solve(self, problem: Problem) -> tuple[Any, Mapping[str, Any]]:
        gram = precise(problem.gram)
        squares = ops.diagonal(gram)
        rows = ops.eye(gram.shape[0], dtype=gram.dtype)
        for others in orders(problem.noise, gram):
            products = ops.sum(matmul(rows, gram) * others, axis=-1)
            share = ops.divide_no_nan(ops.minimum(products, 0.0), ops.sum(others * squares, axis=-1))
            rows = rows - ops.expand_dims(share, -1) * others
        return answer(ops.sum(rows, axis=0) * precise(problem.present)), {}


def orders(noise: Any, gram: Any) -> list[Any]:
    """Returns whom each task meets, turn by turn: one-hot rows, zero where it is the task itself.

    Args:
        noise: Numbers whose order in each row is that of the meetings, shape `(K, K)`; `None`
            for the order of the tasks.
        gram: Tensor of the shape and type of the result.
    """
    count = gram.shape[0]
    if noise is None:
        noise = ops.broadcast_to(ops.arange(count, dtype="float32"), (count, count))
    turns = ops.one_hot(ops.argsort(noise, axis=-1), count, dtype=gram.dtype)
    turns = turns * (1.0 - ops.expand_dims(ops.eye(count, dtype=gram.dtype), 1))
    return ops.unstack(turns, count, axis=1)
