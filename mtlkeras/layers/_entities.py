"""Entities within sequences of tag indices, inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras.layers._tag_constraints import split_tag


class EntityReader:
    """Finds entities as the script conlleval of CoNLL-2000 does, or by a strict scheme.

    Args:
        tags: The tags' names by index.
        strict_scheme: `"BIO"`, `"BIOES"` or `"IOBES"`, or `None` for the reading of conlleval, in
            which an `I-` without a beginning begins an entity.
    """

    def __init__(self, tags: Sequence[str], strict_scheme: str | None = None) -> None:
        self.strict_scheme = strict_scheme
        self.padding = len(tags)  # Stands for what is no token.
        parts = [split_tag(tag) for tag in tags]
        self.types = tuple(sorted({kind for _, kind in parts}))
        self._types = np.array([self.types.index(kind) for _, kind in parts] + [-1], "int32")
        self._is = {
            prefix: np.array([prefix == other for other, _ in parts] + [prefix == "O"]) for prefix in "BIOES"
        }

    def __call__(self, tags: Any) -> tuple[Any, Any, Any]:
        """Returns where entities end, and at those steps where they begin and of which type they are.

        Args:
            tags: Tag indices of shape `(batch, time)`; `padding` where there is no token.

        Returns:
            Bool, int32 positions, and int32 indices of `types`, all of shape `(batch, time)`.
        """
        padding = ops.full_like(tags[:, :1], self.padding)
        before = ops.concatenate([padding, tags[:, :-1]], axis=1)
        after = ops.concatenate([tags[:, 1:], padding], axis=1)
        starts = self._strict_breaks(before, tags) if self.strict_scheme else self._starts(before, tags)
        begins = _last_start(starts)
        if not self.strict_scheme:
            return self._ends(tags, after), begins, ops.take(self._types, tags)
        first = ops.take_along_axis(tags, begins, axis=1)
        ended = ops.logical_and(self._strict_breaks(tags, after), self._any(first, "BS"))
        ended = ops.logical_and(ended, self._any(tags, "BI" if self.strict_scheme == "BIO" else "ES"))
        return ended, begins, ops.take(self._types, tags)

    def _any(self, tags: Any, prefixes: str) -> Any:
        return ops.take(np.any([self._is[prefix] for prefix in prefixes], axis=0), tags)

    def _other_type(self, a: Any, b: Any) -> Any:
        return ops.not_equal(ops.take(self._types, a), ops.take(self._types, b))

    def _starts(self, before: Any, tags: Any) -> Any:
        """Whether an entity begins with the second of two tags, as conlleval has it."""
        inside = self._any(tags, "IE")
        return _or(
            self._any(tags, "BS"),
            ops.logical_and(inside, self._any(before, "OES")),
            ops.logical_and(inside, self._other_type(before, tags)),
        )

    def _ends(self, tags: Any, after: Any) -> Any:
        """Whether an entity ends with the first of two tags, as conlleval has it."""
        return _or(
            self._any(tags, "ES"),
            ops.logical_and(self._any(tags, "BI"), self._any(after, "BSO")),
            ops.logical_and(self._any(tags, "BI"), self._other_type(tags, after)),
        )

    def _strict_breaks(self, before: Any, tags: Any) -> Any:
        """Whether the second of two tags does not continue an entity of the first."""
        goes_on = ops.logical_and(self._any(tags, "IE"), self._any(before, "BI"))
        return ops.logical_not(ops.logical_and(goes_on, ops.logical_not(self._other_type(before, tags))))


def entity_spans(tags: Any, reader: EntityReader) -> tuple[Any, Any, Any]:
    """Returns the entities of each sequence, one after the other.

    Args:
        tags: Tag indices `(batch, time)`, -1 where there is no step.
        reader: What finds them.

    Returns:
        Types (indices of `reader.types`), first steps, and the steps after the last ones: int32 of
        shape `(batch, time)`, -1 after the last entity.
    """
    ended, begins, kinds = reader(ops.where(tags < 0, reader.padding, tags))
    time = ops.shape(tags)[1]
    steps = ops.broadcast_to(ops.arange(time, dtype="int32")[None, :], ops.shape(ended))
    order = ops.cast(ops.argsort(ops.where(ended, steps, steps + time), axis=1), "int32")
    is_entity = steps < ops.sum(ops.cast(ended, "int32"), axis=1, keepdims=True)
    found = (kinds, begins, steps + 1)
    return tuple(ops.where(is_entity, ops.take_along_axis(x, order, axis=1), -1) for x in found)  # type: ignore[return-value]


def _or(*conditions: Any) -> Any:
    return ops.any(ops.stack(conditions), axis=0)


def _last_start(starts: Any) -> Any:
    """Returns where the last start up to each step is, int32; 0 if there is none."""
    length = ops.shape(starts)[1]
    steps = ops.broadcast_to(ops.arange(length, dtype="int32")[None, :], ops.shape(starts))
    positions = ops.cast(ops.argsort(ops.where(starts, steps, steps + length), axis=1), "int32")
    number = ops.cumsum(ops.cast(starts, "int32"), axis=1)
    return ops.where(number > 0, ops.take_along_axis(positions, ops.maximum(number - 1, 0), axis=1), 0)
