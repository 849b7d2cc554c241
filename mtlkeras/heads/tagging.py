"""A tag for every step, each by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras.heads.classification import class_weight_vector
from mtlkeras.heads.sequence import SequenceHead
from mtlkeras.layers.chain import IMPOSSIBLE
from mtlkeras.specs import spec


@spec
class Tagging(SequenceHead):
    """Gives each step of a sequence one of `tags`, by the softmax of its own logits.

    The output has shape `(batch, time, tags)`, with rows of zeros where the trunk's mask has no
    token. Labels are tag indices of shape `(batch, time)`, with `mtlkeras.MISSING` for padding
    and for tags that are not known; `mtlkeras.data.TagEncoder` makes them from names. The
    task's loss is the mean cross-entropy over the labelled tokens of the batch.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`) if the tags mark entities, which
            the entity metrics then count; `None` for others, such as parts of speech.
        class_weight: Weight of the loss by tag index or name; tags not named weigh 1.

    Metrics: `"accuracy"` of tokens (default); with a scheme `"f1"` (default), `"precision"` and
    `"recall"` of entities as seqeval counts them, and the same as `"strict_f1"` and so on.

    Raises:
        ValueError: If the tags are not distinct, or not of the scheme.

    Example:

    ```python
    head = mtlkeras.heads.Tagging(("NOUN", "VERB", "DET"), dropout=0.3)
    ```
    """

    padding: ClassVar = 0.0
    loss_rank: ClassVar = 2

    tags: tuple[str, ...]
    scheme: str | None = None
    class_weight: dict | None = None

    @property
    def default_metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("accuracy",) if self.scheme is None else ("accuracy", "f1")

    @property
    def num_classes(self) -> int:
        """Number of tags."""
        return len(self.tags)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The tags' names."""
        return self.tags

    def validate(self) -> None:
        super().validate()
        class_weight_vector(self, self.class_weight or {})

    def activate(self, scores: Any) -> Any:
        there = ops.max(scores, axis=-1, keepdims=True) > IMPOSSIBLE / 2
        return ops.where(there, ops.softmax(scores), 0.0)

    def invert(self, outputs: Any) -> Any:
        there = ops.max(outputs, axis=-1, keepdims=True) > 0
        return ops.where(there, ops.log(ops.maximum(outputs, 1e-37)), IMPOSSIBLE)

    def loss(self, targets: Any, scores: Any, layer: Any) -> Any:
        known = ops.maximum(targets, 0)
        values = ops.sparse_categorical_crossentropy(known, scores, from_logits=True)
        return values * self.weigh_classes(targets, self.class_weight) if self.class_weight else values

    def weigh_classes(self, targets: Any, class_weight: dict) -> Any:
        weights = ops.convert_to_tensor(class_weight_vector(self, class_weight))
        return ops.take(weights, ops.maximum(targets, 0))

    def by_unit(self, values: Any, mask: Any) -> tuple[Any, Any]:
        """Returns the losses of the tokens, over which the task's mean is."""
        return ops.where(mask, values, 0.0), mask

    def decode(self, outputs: Any) -> dict[str, Any]:
        best = ops.where(self.steps(outputs), ops.cast(ops.argmax(outputs, axis=-1), "int32"), MISSING)
        return {"": best, "probability": ops.max(outputs, axis=-1), **self.spans(best)}
