"""What users give to a chain, checked and made fit for its recursions.

Those take finite scores, and at least one sequence of at least one step. So a score of `-inf` becomes
`IMPOSSIBLE`, what is empty gets a sequence or a step that does not exist, and a sequence with values
that mean nothing is computed as one of zeros, for which the result is then NaN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, int32
from mtlkeras.layers._chain.values import are_scores, as_int32, check_states, concrete_values


@dataclasses.dataclass(frozen=True)
class ChainInputs:
    """Scores or observations of sequences, as they are computed with.

    Args:
        values: Scores or observations, shape `(batch, time, ...)`, finite.
        packing: The steps that exist.
        valid: Bool, shape `(batch,)`: false for sequences with values that mean nothing.
        input_shape: Number of sequences and of steps that were given, each if it may be less than that
            of `values`, else `None`.
    """

    values: Any
    packing: Packing
    valid: Any
    input_shape: tuple[Any, Any]

    def per_sequence(self, results: Any) -> Any:
        """Returns results, shape `(batch, ...)`, with NaN for sequences that are not valid."""
        valid = ops.reshape(self.valid, (-1, *[1] * (len(results.shape) - 1)))
        return self._cut_rows(ops.where(valid, results, float("nan")))

    def per_step(self, results: Any) -> Any:
        """Returns `(batch, time, states)` with NaN likewise, and zeros where there is no step."""
        results = ops.where(self.valid[:, None, None], results, float("nan"))
        return self.cut(ops.where(self.packing.mask[:, :, None], results, 0.0))

    def cut(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with the steps that were given."""
        x = self._cut_rows(x)
        return x if self.input_shape[1] is None else x[:, : self.input_shape[1]]

    def _cut_rows(self, x: Any) -> Any:
        return x if self.input_shape[0] is None else x[: self.input_shape[0]]

    def per_path(self, best: tuple[Any, Any]) -> tuple[Any, Any]:
        """Returns paths `(batch, k, time)` and scores `(batch, k)` likewise, without k if it is 1."""
        paths, scores = self._cut_rows(best[0]), self.per_sequence(best[1])
        paths = paths if self.input_shape[1] is None else paths[:, :, : self.input_shape[1]]
        return (paths[:, 0], scores[:, 0]) if paths.shape[1] == 1 else (paths, scores)

    def invalidated(self, wrong: Any) -> ChainInputs:
        """Returns the inputs with these sequences invalid as well, bool of shape `(batch,)`."""
        return dataclasses.replace(self, valid=ops.logical_and(self.valid, ops.logical_not(wrong)))


def read_observations(owner: str, mask: Any, values: Any, is_valid: Callable[[Any], Any]) -> ChainInputs:
    """Returns inputs for observations and a mask as a user gives them.

    Args:
        owner: Who asks, for errors.
        mask: Shape `(batch, time)`, of bool or of numbers that are 0 where there is no step; `None`
            for all steps.
        values: Tensor of shape `(batch, time, ...)`.
        is_valid: Tells of values which mean something, bool of their shape, or of `(batch, time)`.

    Raises:
        ValueError: If the mask does not fit the values.
    """
    mask, valid = read_mask(owner, mask, values), is_valid(values)
    if len(valid.shape) > 2:
        valid = ops.all(valid, axis=tuple(range(2, len(valid.shape))))
    inputs, keep = _without_values(mask, valid, values)
    keep = ops.reshape(keep, (*ops.shape(keep), *[1] * (len(values.shape) - 2)))
    values = _not_empty(values)
    return dataclasses.replace(inputs, values=ops.where(keep, values, ops.zeros_like(values)))


def read_scores(owner: str, mask: Any, scores: Any) -> ChainInputs:
    """Returns inputs for scores as a user gives them; see `read_observations`.

    Logits are far larger than all else: where each of them is a score, as nearly always, they are not
    copied, and stay what they are where there is no step, which nobody looks at.
    """
    mask, valid = read_mask(owner, mask, scores), are_scores(scores)
    inputs, keep = _without_values(mask, valid, scores)

    def copied() -> Any:
        kept = ops.maximum(_not_empty(scores), IMPOSSIBLE)
        return ops.where(keep[:, :, None], kept, ops.zeros_like(kept))

    if 0 in scores.shape:
        return dataclasses.replace(inputs, values=copied())
    # Of no number at all the least is infinity, and all are valid.
    as_they_are = ops.logical_and(ops.all(valid), ops.min(scores, initial=float("inf")) >= IMPOSSIBLE)
    as_they_are = ops.logical_and(as_they_are, ops.all(ops.equal(ops.shape(keep), ops.shape(mask))))
    return dataclasses.replace(inputs, values=ops.cond(as_they_are, lambda: scores, copied))


def _without_values(mask: Any, valid: Any, values: Any) -> tuple[ChainInputs, Any]:
    """Returns inputs still without values, and bool of `(batch, time)`: which steps' values are used."""
    rows, time = (None if size else ops.shape(values)[axis] for axis, size in enumerate(values.shape[:2]))
    mask, valid = _not_empty(mask), _not_empty(valid)
    valid = ops.all(ops.logical_or(ops.logical_not(mask), valid), axis=1)
    return ChainInputs(None, Packing.of(mask), valid, (rows, time)), ops.logical_and(mask, valid[:, None])


def read_mask(owner: str, mask: Any, inputs: Any) -> Any:
    """Returns a mask, bool of shape `(batch, time)`; see `read_observations`.

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


def read_states(owner: str, what: str, states: Any, count: int, inputs: ChainInputs, unknown: bool) -> Any:
    """Returns states as a user gives them, and where they are none.

    Args:
        owner: Who asks, for errors.
        what: What a state is called there.
        states: Whole numbers, shape `(batch, time)`; of any value where there is no step.
        count: How many states there are.
        inputs: The sequences.
        unknown: Whether `MISSING` stands for a state that is not known.

    Returns:
        Int32 of shape `(batch, time)`, -1 for what is not known and 0 where there is no step, and
        bool of shape `(batch,)`: which sequences have a number that is no state. Only in a graph
        are there any, where values cannot be read.

    Raises:
        ValueError: If the shape does not fit, or a value that can be read is no state.
    """
    values, mask = concrete_values(states), concrete_values(inputs.packing.mask)
    states = ops.convert_to_tensor(states)
    if not _is_of_steps(states, inputs.cut(inputs.packing.mask)):
        raise ValueError(
            f"{owner}: expected {what}s of shape (batch, time) as of inputs "
            f"{tuple(inputs.cut(inputs.values).shape[:2])}; received {tuple(states.shape)}."
        )
    if values is not None and mask is not None:
        check_states(owner, what, values, count, unknown, mask[tuple(map(slice, values.shape))])
    states = _not_empty(as_int32(states, count))
    states = int32(ops.where(inputs.packing.mask, states, 0))
    wrong = ops.logical_or(states < (MISSING if unknown else 0), states >= count)
    return int32(ops.where(wrong, 0, states)), ops.any(wrong, axis=1)


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
