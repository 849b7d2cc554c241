"""Packed sequences: the steps that exist first, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops


@dataclasses.dataclass(frozen=True)
class Packing:
    """Where the steps of masked sequences are once the sequences are packed.

    Args:
        mask: Bool, shape `(batch, time)`: the steps that exist.
        lengths: Int32, shape `(batch,)`.
    """

    mask: Any
    lengths: Any

    @classmethod
    def of(cls, mask: Any) -> Packing:
        """Returns how sequences with a mask, bool of shape `(batch, time)`, are packed."""
        mask = ops.cast(mask, "bool")
        return cls(mask, ops.sum(ops.cast(mask, "int32"), axis=1))

    def pack(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with the steps that exist first."""
        return self._moved(x, self._order)

    def unpack(self, x: Any) -> Any:
        """Returns `(batch, time, ...)` with every step back at its place."""
        return self._moved(x, lambda: ops.argsort(self._order(), axis=1))

    def step_mask(self) -> Any:
        """Returns which steps of packed sequences exist, bool of shape `(time, batch)`."""
        return self._positions()[:, None] < self.lengths[None, :]

    def is_last(self) -> Any:
        """Returns which steps of packed sequences are their last, bool of shape `(time, batch)`."""
        return ops.equal(self._positions()[:, None], self.lengths[None, :] - 1)

    def at_last(self, x: Any) -> Any:
        """Returns `(batch, ...)`: the entries of `(time, batch, ...)` at the last step of each sequence."""
        last = ops.cast(ops.maximum(self.lengths - 1, 0), "int32")
        index = ops.reshape(last, (1, -1, *[1] * (len(x.shape) - 2)))
        return ops.take_along_axis(x, index, axis=0)[0]

    def _positions(self) -> Any:
        return ops.arange(ops.shape(self.mask)[1], dtype="int32")

    def _order(self) -> Any:
        """Returns the position of the n-th step, int32 of shape `(batch, time)`; absent ones last."""
        time = ops.shape(self.mask)[1]
        steps = ops.broadcast_to(ops.arange(time, dtype="int32")[None, :], ops.shape(self.mask))
        # All keys differ, so that the order of the steps stays as it is.
        return ops.argsort(ops.where(self.mask, steps, steps + time), axis=1)

    def _moved(self, x: Any, positions: Callable[[], Any]) -> Any:
        def move() -> Any:
            indices = ops.cast(positions(), "int32")
            return ops.take_along_axis(
                x, ops.reshape(indices, (*ops.shape(x)[:2], *[1] * (len(x.shape) - 2))), 1
            )

        # Most masks are those of padding at the end, where sorting and moving would only cost time.
        return ops.cond(self._is_packed(), lambda: x, move)

    def _is_packed(self) -> Any:
        return ops.all(ops.equal(self.mask, self._positions()[None, :] < self.lengths[:, None]))
