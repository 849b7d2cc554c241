"""Sequences closed up: the steps that exist first, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops


@dataclasses.dataclass(frozen=True)
class Compact:
    """Where the steps of masked sequences are once the sequences are closed up.

    Args:
        mask: Bool, shape `(batch, time)`: the steps that exist.
        lengths: Int32, shape `(batch,)`.
    """

    mask: Any
    lengths: Any

    def close(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with the steps that exist first."""
        return self._moved(x, self._order)

    def open(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with every step back at its place."""
        return self._moved(x, lambda: ops.argsort(self._order(), axis=1))

    def _order(self) -> Any:
        """Returns the place of the n-th step, int32 of shape `(batch, time)`; absent ones last."""
        time = ops.shape(self.mask)[1]
        steps = ops.broadcast_to(ops.arange(time, dtype="int32")[None, :], ops.shape(self.mask))
        # All keys differ, so that the order of the steps stays as it is.
        return ops.argsort(ops.where(self.mask, steps, steps + time), axis=1)

    def _moved(self, x: Any, places: Callable[[], Any]) -> Any:
        def move() -> Any:
            indices = ops.cast(places(), "int32")
            return ops.take_along_axis(
                x, ops.reshape(indices, (*ops.shape(x)[:2], *[1] * (len(x.shape) - 2))), 1
            )

        # Most masks are those of padding at the end, where sorting and moving would only cost time.
        return ops.cond(self._is_closed(), lambda: x, move)

    def _is_closed(self) -> Any:
        steps = ops.arange(ops.shape(self.mask)[1], dtype="int32")
        return ops.all(ops.equal(self.mask, steps[None, :] < self.lengths[:, None]))


def compact(mask: Any) -> Compact:
    """Returns how sequences with a mask, bool of shape `(batch, time)`, are closed up."""
    mask = ops.cast(mask, "bool")
    return Compact(mask, ops.sum(ops.cast(mask, "int32"), axis=1))
