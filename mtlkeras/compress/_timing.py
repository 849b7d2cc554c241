"""How long predictions take, and which share of a model is fast enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

_SHARES = 16
"""Sizes between the whole model and the smallest one that a search tells apart."""


_MORE = 3
"""Shapes that an error shows beyond those that were expected."""


def check_batch(model: Any, x: Any, owner: str) -> None:
    """Checks that arrays are a batch of a model's inputs.

    Raises:
        ValueError: If there are more or fewer than it reads, one has no examples, or a shape does not fit.
    """
    shapes = [np.shape(array) for array in keras.tree.flatten(x)]
    expected = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != len(expected) or not all(map(_fits, shapes, expected)):
        shown = ", ".join(map(str, shapes[: len(expected) + _MORE])) or "none"
        more = f" and {len(shapes) - len(expected) - _MORE} more"
        raise ValueError(
            f"{owner}: x must be a batch of inputs as arrays, of shapes like "
            f"{', '.join(map(str, expected))}; received {shown}"
            f"{more if len(shapes) > len(expected) + _MORE else ''}."
        )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    if not shape or not shape[0]:
        return False
    if len(shape) == len(expected) - 1 and expected[-1] == 1:  # Keras adds and drops a last axis of one.
        shape = (*shape, 1)
    if len(shape) == len(expected) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != len(expected):
        return False
    return all(wanted in (None, size) for size, wanted in zip(shape[1:], expected[1:], strict=True))


def latencies(models: Sequence[Any], x: Any, rounds: int) -> list[float]:
    """Returns the median times of `predict_on_batch` in milliseconds; the models take turns."""
    times: list[tuple[Any, list[float]]] = [(model.predict_on_batch, []) for model in models]
    for predict, _ in times:
        predict(x)  # Traces and compiles.
    for _ in range(rounds):
        for predict, found in times:
            start = time.perf_counter()
            predict(x)
            found.append(1000.0 * (time.perf_counter() - start))
    return [float(np.median(found)) for _, found in times]


def largest_within(
    build: Callable[[float], Any], least: float, milliseconds: float, time_of: Callable[[Any], float]
) -> tuple[Any | None, float]:
    """Returns the largest model whose prediction takes no longer than a target, and its time.

    Args:
        build: Returns a model that has a share of the size left.
        least: The smallest share that there can be.
        milliseconds: The target.
        time_of: Returns the milliseconds of a model.

    Returns:
        `None` and the time of the smallest model, if that takes longer.
    """
    best = build(least)
    best_time = time_of(best)
    if best_time > milliseconds:
        return None, best_time
    low, high = 0, _SHARES  # Of the way from the smallest to the whole model: the first does, the last not.
    while high - low > 1:
        middle = (low + high) // 2
        model = build(least + (1.0 - least) * middle / _SHARES)
        taken = time_of(model)
        if taken <= milliseconds:
            low, best, best_time = middle, model, taken
        else:
            high = middle
    return best, best_time
