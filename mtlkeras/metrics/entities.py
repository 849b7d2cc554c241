"""Precision, recall and F1 of entities, from tag indices and inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras.layers.chain import compact
from mtlkeras.layers.tag_constraints import check_tags, split_tag

MEASURES = ("f1", "precision", "recall")


@keras.saving.register_keras_serializable("mtlkeras")
class EntityScore(keras.metrics.Metric):
    """Precision, recall or F1 over all entities of all sequences (micro average).

    An entity is right if its type, first and last token are. Which tokens make an entity is
    decided as in seqeval 1.2.2: by default as by the script conlleval of CoNLL-2000, where an
    `I-` without a beginning begins an entity; with a strict scheme only what it allows is one.

    Args:
        tags: The tags' names by index, such as `("O", "B-city", "I-city")`.
        measure: `"f1"`, `"precision"` or `"recall"`.
        strict_scheme: `"BIO"` (IOB2 in seqeval), `"BIOES"` or `"IOBES"` for strict counting.

    Labels and predictions are tag indices of shape `(batch, time)`; weights of the same shape
    leave out tokens at zero, as if the sequence were closed up.

    Example:

    >>> metric = mtlkeras.metrics.EntityScore(("O", "B-city", "I-city"))
    >>> metric.update_state([[1, 2, 0, 1]], [[1, 2, 0, 0]])
    >>> round(float(metric.result()), 4)
    0.6667
    """

    def __init__(
        self,
        tags: Sequence[str],
        measure: str = "f1",
        strict_scheme: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or measure, **kwargs)
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES, "measure= of EntityScore")
        if strict_scheme is not None:
            check_tags(tags, strict_scheme, "strict_scheme of EntityScore")
        self._direction = "up"
        self.tags, self.measure, self.strict_scheme = tuple(tags), measure, strict_scheme
        parts = [split_tag(tag) for tag in self.tags]
        types = sorted({kind for _, kind in parts})
        # The last entry stands for what is no token.
        self._types = np.array([types.index(kind) for _, kind in parts] + [-1], "int32")
        self._is = {
            prefix: np.array([prefix == other for other, _ in parts] + [prefix == "O"]) for prefix in "BIOES"
        }
        # Right entities, entities of the labels, entities predicted. Whole numbers, exact in float32
        # up to 16 million.
        self.counts = self.add_variable((3,), initializer="zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = (ops.cast(y, "int32") for y in (y_true, y_pred))
        there = ops.ones_like(y_true, "bool") if sample_weight is None else sample_weight > 0
        places = compact(there)
        ended, begins, kinds = zip(
            *(self._entities(places.close(ops.where(there, y, len(self.tags)))) for y in (y_true, y_pred)),
            strict=True,
        )
        right = ops.logical_and(*ended)
        right = ops.logical_and(right, ops.logical_and(ops.equal(*begins), ops.equal(*kinds)))
        self.counts.assign_add(ops.stack([ops.sum(ops.cast(x, "float32")) for x in (right, *ended)]))

    def _entities(self, tags: Any) -> tuple[Any, Any, Any]:
        """Returns where entities end, and there where they begin and of which type they are."""
        nothing = ops.full_like(tags[:, :1], len(self.tags))
        before = ops.concatenate([nothing, tags[:, :-1]], axis=1)
        after = ops.concatenate([tags[:, 1:], nothing], axis=1)
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

    def result(self) -> Any:
        right, known, predicted = ops.unstack(self.counts + 0.0, 3)
        if self.measure == "precision":
            return ops.divide_no_nan(right, predicted)
        if self.measure == "recall":
            return ops.divide_no_nan(right, known)
        return ops.divide_no_nan(2.0 * right, known + predicted)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tags": list(self.tags),
            "measure": self.measure,
            "strict_scheme": self.strict_scheme,
        }


def _or(*conditions: Any) -> Any:
    return ops.any(ops.stack(conditions), axis=0)


def _last_start(starts: Any) -> Any:
    """Returns where the last start up to each step is, int32; 0 if there is none."""
    length = ops.shape(starts)[1]
    steps = ops.broadcast_to(ops.arange(length, dtype="int32")[None, :], ops.shape(starts))
    places = ops.cast(ops.argsort(ops.where(starts, steps, steps + length), axis=1), "int32")
    number = ops.cumsum(ops.cast(starts, "int32"), axis=1)
    return ops.where(number > 0, ops.take_along_axis(places, ops.maximum(number - 1, 0), axis=1), 0)
