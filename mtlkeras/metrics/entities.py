"""Precision, recall and F1 of entities, from tag indices and inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import ArrayLike, Tensor
from mtlkeras.layers._chain import Packing
from mtlkeras.layers._entities import EntityReader
from mtlkeras.layers._tag_constraints import check_tags

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
        self._read = EntityReader(tags, strict_scheme)
        # Right entities, entities of the labels, entities predicted. Whole numbers, exact in float32
        # up to 16 million.
        self.counts = self.add_variable((3,), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        pair = [ops.cast(y, "int32") for y in (y_true, y_pred)]
        mask = ops.ones_like(pair[0], "bool") if sample_weight is None else ops.greater(sample_weight, 0)
        packing = Packing.of(mask)
        ended, begins, kinds = zip(
            *(self._read(packing.pack(ops.where(mask, y, self._read.padding))) for y in pair),
            strict=True,
        )
        right = ops.logical_and(*ended)
        right = ops.logical_and(right, ops.logical_and(ops.equal(*begins), ops.equal(*kinds)))
        self.counts.assign_add(ops.stack([ops.sum(ops.cast(x, "float32")) for x in (right, *ended)]))

    def result(self) -> Tensor:
        right, labelled, predicted = ops.unstack(self.counts + 0.0, 3)
        if self.measure == "precision":
            return ops.divide_no_nan(right, predicted)
        if self.measure == "recall":
            return ops.divide_no_nan(right, labelled)
        return ops.divide_no_nan(2.0 * right, labelled + predicted)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tags": list(self.tags),
            "measure": self.measure,
            "strict_scheme": self.strict_scheme,
        }
