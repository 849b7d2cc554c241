"""What users give to a chain, checked and made fit for its recursions.

Those take finite scores, and at least one sequence of at least one step. So a score of `-inf` becomes
`IMPOSSIBLE`, what is empty gets a sequence or a step that does not exist, and a sequence with values
that mean nothing is computed as one of zeros, for which the answer is then NaN.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras.layers._chain.compact import Compact, compact
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, int32


@dataclasses.dataclass(frozen=True)
class Steps:
    """Sequences as they are computed.

    Args:
        values: Scores or observations, shape `(batch, time, ...)`, finite.
        places: The steps that exist.
        sound: Bool, shape `(batch,)`: false for sequences with values that mean nothing.
        given: Number of sequences and of steps that were given, if they may be less than those of
            `values`, else `None`.
    """

    values: Any
    places: Compact
    sound: Any
    given: tuple[Any, Any]

    def told(self, answers: Any) -> Any:
        """Returns answers, shape `(batch, ...)`, with NaN for sequences that are not sound."""
        sound = ops.reshape(self.sound, (-1, *[1] * (len(answers.shape) - 1)))
        return self._cut_rows(ops.where(sound, answers, float("nan")))

    def told_by_step(self, answers: Any) -> Any:
        """Returns `(batch, time, states)` with NaN likewise, and zeros where there is no step."""
        told = ops.where(self.sound[:, None, None], answers, float("nan"))
        return self.cut(ops.where(self.places.mask[:, :, None], told, 0.0))

    def cut(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with the steps that were given."""
        x = self._cut_rows(x)
        return x if self.given[1] is None else x[:, : self.given[1]]

    def _cut_rows(self, x: Any) -> Any:
        return x if self.given[0] is None else x[: self.given[0]]

    def best_told(self, best: tuple[Any, Any]) -> tuple[Any, Any]:
        """Returns paths `(batch, k, time)` and scores `(batch, k)` likewise, without k if it is 1."""
        paths, scores = self._cut_rows(best[0]), self.told(best[1])
        paths = paths if self.given[1] is None else paths[:, :, : self.given[1]]
        return (paths[:, 0], scores[:, 0]) if paths.shape[1] == 1 else (paths, scores)

    def without(self, wrong: Any) -> Steps:
        """Returns the steps with sequences that are not sound as well, bool of shape `(batch,)`."""
        return dataclasses.replace(self, sound=ops.logical_and(self.sound, ops.logical_not(wrong)))


def read_steps(owner: str, mask: Any, values: Any, is_right: Callable[[Any], Any]) -> Steps:
    """Returns steps for values and a mask as a user gives them.

    Args:
        owner: Who asks, for errors.
        mask: Shape `(batch, time)`, of bool or of numbers that are 0 where there is no step; `None`
            for all steps.
        values: Tensor of shape `(batch, time, ...)`.
        is_right: Tells of values which mean something, bool of their shape, or of `(batch, time)`.

    Raises:
        ValueError: If the mask does not fit the values.
    """
    mask, right = read_mask(owner, mask, values), is_right(values)
    if len(right.shape) > 2:
        right = ops.all(right, axis=tuple(range(2, len(right.shape))))
    steps, keep = _steps(mask, right, values)
    keep = ops.reshape(keep, (*ops.shape(keep), *[1] * (len(values.shape) - 2)))
    values = _not_empty(values)
    return dataclasses.replace(steps, values=ops.where(keep, values, ops.zeros_like(values)))


def read_scores(owner: str, mask: Any, scores: Any) -> Steps:
    """Returns steps for scores as a user gives them; see `read_steps`.

    Logits are far larger than all else: where each of them is a score, as nearly always, they are not
    copied, and stay what they are where there is no step, which nobody looks at.
    """
    mask, right = read_mask(owner, mask, scores), are_scores(scores)
    steps, keep = _steps(mask, right, scores)

    def copied() -> Any:
        kept = ops.maximum(_not_empty(scores), IMPOSSIBLE)
        return ops.where(keep[:, :, None], kept, ops.zeros_like(kept))

    if 0 in scores.shape:
        return dataclasses.replace(steps, values=copied())
    # Of no number at all the least is infinity, and all are right.
    as_they_are = ops.logical_and(ops.all(right), ops.min(scores, initial=float("inf")) >= IMPOSSIBLE)
    as_they_are = ops.logical_and(as_they_are, ops.all(ops.equal(ops.shape(keep), ops.shape(mask))))
    return dataclasses.replace(steps, values=ops.cond(as_they_are, lambda: scores, copied))


def _steps(mask: Any, right: Any, values: Any) -> tuple[Steps, Any]:
    """Returns steps still without values, and bool of `(batch, time)`: of which values anything is known."""
    rows, time = (None if size else ops.shape(values)[axis] for axis, size in enumerate(values.shape[:2]))
    mask, right = _not_empty(mask), _not_empty(right)
    sound = ops.all(ops.logical_or(ops.logical_not(mask), right), axis=1)
    return Steps(None, compact(mask), sound, (rows, time)), ops.logical_and(mask, sound[:, None])


def are_scores(x: Any) -> Any:
    """Returns at which steps of `(batch, time, n)` no number is NaN or `+inf`, bool of `(batch, time)`."""
    # The sum is either where one of them is, also beside `-inf`. Never as the opposite of `>=`, for which
    # TensorFlow's optimizer takes this when it is negated.
    return ops.sum(x, axis=-1) < float("inf")


def finite_scores(scores: Any) -> Any:
    """Returns scores with `IMPOSSIBLE` for `-inf` and all that is below it; NaN and `+inf` stay."""
    return ops.where(scores < IMPOSSIBLE, IMPOSSIBLE, scores)


def read_mask(owner: str, mask: Any, inputs: Any) -> Any:
    """Returns a mask, bool of shape `(batch, time)`; see `read_steps`.

    Args:
        owner: Who asks, for the error.
        mask: Shape `(batch, time)`, or `None` for all steps.
        inputs: Shape `(batch, time)` or `(batch, time, ...)`.

    Raises:
        ValueError: If the mask does not fit the inputs.
    """
    if mask is None:
        return ops.ones(ops.shape(inputs)[:2], "bool")
    mask = ops.convert_to_tensor(mask)
    if not _is_of_steps(mask, inputs):
        raise ValueError(
            f"{owner}: expected a mask of shape (batch, time) as of inputs "
            f"{tuple(inputs.shape)}; received {tuple(mask.shape)}."
        )
    return ops.cast(mask, "bool")


def read_states(owner: str, what: str, states: Any, count: int, steps: Steps, unknown: bool) -> Any:
    """Returns states as a user gives them, and where they are none.

    Args:
        owner: Who asks, for errors.
        what: What a state is called there.
        states: Whole numbers, shape `(batch, time)`; of any value where there is no step.
        count: How many states there are.
        steps: The sequences.
        unknown: Whether `MISSING` stands for a state that is not known.

    Returns:
        Int32 of shape `(batch, time)`, -1 for what is not known and 0 where there is no step, and
        bool of shape `(batch,)`: which sequences have a number that is no state. Only in a graph
        are there any, where values cannot be read.

    Raises:
        ValueError: If the shape does not fit, or a value that can be read is no state.
    """
    values, mask = known_values(states), known_values(steps.places.mask)
    states = ops.convert_to_tensor(states)
    if not _is_of_steps(states, steps.cut(steps.places.mask)):
        raise ValueError(
            f"{owner}: expected {what}s of shape (batch, time) as of inputs "
            f"{tuple(steps.cut(steps.values).shape[:2])}; received {tuple(states.shape)}."
        )
    if values is not None and mask is not None:
        check_states(owner, what, values, count, unknown, mask[tuple(map(slice, values.shape))])
    states = _not_empty(as_int32(states, count))
    states = int32(ops.where(steps.places.mask, states, 0))
    wrong = ops.logical_or(states < (MISSING if unknown else 0), states >= count)
    return int32(ops.where(wrong, 0, states)), ops.any(wrong, axis=1)


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


def known_values(x: Any) -> np.ndarray | None:
    """Returns the values of an array or a tensor, `None` for a tensor of a graph being traced."""
    if isinstance(x, np.ndarray):
        return x
    try:
        return ops.convert_to_numpy(x)
    except (NotImplementedError, TypeError, AttributeError):
        return None


def whole_number(owner: str, name: str, value: Any, lowest: int) -> int:
    """Returns a whole number as an `int`.

    Raises:
        ValueError: If it is none, or below the lowest.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)) or number < lowest:
        raise ValueError(
            f"{owner}: {name} must be a whole number of at least {lowest}; received {value!r}."
        ) from None
    return number


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


def _is_of_steps(x: Any, inputs: Any) -> bool:
    """Returns whether a tensor has the shape `(batch, time)` of inputs, as far as sizes are known."""
    pairs = zip(tuple(x.shape), tuple(inputs.shape)[:2], strict=False)
    return len(x.shape) == 2 and all(None in (own, other) or own == other for own, other in pairs)


def _not_empty(x: Any) -> Any:
    """Returns `(batch, time, ...)` with a sequence, and a step, of zeros if it has none."""
    lacking: list[Any] = [
        0 if size else 1 if size == 0 else ops.maximum(1 - ops.shape(x)[axis], 0)
        for axis, size in enumerate(x.shape[:2])
    ]
    if all(isinstance(lack, int) and not lack for lack in lacking):
        return x
    return ops.pad(x, [[0, lack] for lack in lacking] + [[0, 0]] * (len(x.shape) - 2))
