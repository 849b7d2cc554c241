"""Scores and states as a user gives them: which are valid, and what they are in the graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, int32


def are_scores(x: Any) -> Any:
    """Returns at which steps of `(batch, time, n)` no number is NaN or `+inf`, bool of `(batch, time)`."""
    # The sum is either where one of them is, also beside `-inf`. Never as the opposite of `>=`, for which
    # TensorFlow's optimizer takes this when it is negated.
    return ops.sum(x, axis=-1) < float("inf")


def finite_scores(scores: Any) -> Any:
    """Returns scores with `IMPOSSIBLE` for `-inf` and all that is below it; NaN and `+inf` stay."""
    return ops.where(scores < IMPOSSIBLE, IMPOSSIBLE, scores)


def as_int32(states: Any, count: int) -> Any:
    """Returns whole numbers as int32; fractions and those it cannot hold as `count`, which is no state."""
    dtype = keras.backend.standardize_dtype(states.dtype)
    if keras.backend.is_float_dtype(dtype):
        fits = ops.logical_and(ops.equal(states, ops.floor(states)), ops.abs(states) < 2.0**20)
        states = ops.where(fits, states, ops.cast(count, dtype))
    elif dtype in ("uint32", "int64", "uint64"):
        states = ops.where(states > count, ops.cast(count, dtype), states)
        if dtype == "int64":
            states = ops.where(states < MISSING, ops.cast(count, dtype), states)
    return int32(states)


def check_states(
    owner: str, what: str, values: np.ndarray, count: int, unknown: bool, mask: np.ndarray
) -> None:
    """Raises `ValueError` for the first number in `(batch, time)` that is no state where there is a step."""
    lowest = MISSING if unknown else 0
    with np.errstate(invalid="ignore"):
        wrong = mask & ~((values >= lowest) & (values < count) & (values == np.floor(values)))
    if wrong.any():
        row, step = np.argwhere(wrong)[0]
        hint = f"; {MISSING} stands for one that is not known" if unknown else ""
        raise ValueError(
            f"{owner}: {what} {values[row, step]} of sequence {row}, step {step} is outside 0 to {count - 1} "
            f"(number of such {what}s: {int(wrong.sum())}{hint})."
        )


def concrete_values(x: Any) -> np.ndarray | None:
    """Returns the values of an array or a tensor, `None` for a tensor of a graph being traced."""
    if isinstance(x, np.ndarray):
        return x
    try:
        return ops.convert_to_numpy(x)
    except (NotImplementedError, TypeError, AttributeError):
        return None
