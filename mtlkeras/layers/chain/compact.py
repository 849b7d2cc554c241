"""Sequences closed up: the steps that exist first, in order."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops


@dataclasses.dataclass(frozen=True)
class Compact:
    """Where the steps of masked sequences are once the sequences are closed up.

    Args:
        mask: Bool, shape `(batch, time)`: the steps that exist.
        order: Int32, shape `(batch, time)`: the place of the n-th step; those that do not exist last.
        lengths: Int32, shape `(batch,)`.
    """

    mask: Any
    order: Any
    lengths: Any

    def close(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with the steps that exist first."""
        return _moved(x, self.order, self._is_closed())

    def open(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with every step back at its place."""
        return _moved(x, ops.argsort(self.order, axis=1), self._is_closed())

    def _is_closed(self) -> Any:
        steps = ops.arange(ops.shape(self.mask)[1], dtype="int32")
        return ops.all(ops.equal(self.mask, steps[None, :] < self.lengths[:, None]))


def compact(mask: Any) -> Compact:
    """Returns how sequences with a mask, bool of shape `(batch, time)`, are closed up."""
    mask = ops.cast(mask, "bool")
    time = ops.shape(mask)[1]
    steps = ops.broadcast_to(ops.arange(time, dtype="int32")[None, :], ops.shape(mask))
    # All keys differ, so that the order of the steps stays as it is.
    order = ops.cast(ops.argsort(ops.where(mask, steps, steps + time), axis=1), "int32")
    return Compact(mask, order, ops.sum(ops.cast(mask, "int32"), axis=1))


def _moved(x: Any, places: Any, as_it_is: Any) -> Any:
    indices = ops.reshape(places, (*ops.shape(places), *[1] * (len(x.shape) - 2)))
    # Most masks are those of padding at the end, where moving would only cost time.
    return ops.cond(as_it_is, lambda: x, lambda: ops.take_along_axis(x, indices, axis=1))
