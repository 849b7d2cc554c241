"""A tag for every step, each by itself."""

from __future__ import annotations

from keras import ops

from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.heads._class_weights import WeighedClasses, check_class_weight, class_weight_tensor
from mtlkeras.heads._softmax_steps import SoftmaxSteps
from mtlkeras.heads.sequence import SequenceHead
from mtlkeras.layers.output import TaskOutput
from mtlkeras.specs import spec


@spec
class Tagging(WeighedClasses, SoftmaxSteps, SequenceHead):
    """Gives each step of a sequence one of `tags`, by the softmax of its own logits.

    The output has shape `(batch, time, tags)`, with rows of zeros where the trunk's mask has no
    token. Labels are tag indices of shape `(batch, time)`, with `mtlkeras.MISSING` for padding
    and for tags that are not known; `mtlkeras.data.TagEncoder` makes them from names. The
    task's loss is the mean cross-entropy over the labelled tokens of the batch.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`) if the tags mark entities, which
            the entity metrics then count; `None` for others, such as parts of speech.
        class_weight: Weight of the loss by tag index or name, tags not named weighing 1; a weight
            for each tag; or `"balanced"`, as for `mtlkeras.heads.Classification`, over tokens.

    Metrics: `"accuracy"` of tokens (default); with a scheme `"f1"` (default), `"precision"` and
    `"recall"` of entities as seqeval counts them, and the same as `"strict_f1"` and so on.

    Raises:
        ValueError: If the tags are not distinct, or not of the scheme.

    Example:

    ```python
    head = mtlkeras.heads.Tagging(("NOUN", "VERB", "DET"), dropout=0.3)
    ```
    """

    tags: tuple[str, ...]
    scheme: str | None = None
    class_weight: dict | tuple[float, ...] | str | None = None

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
        check_class_weight(self)

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        values = super().loss(targets, scores, layer)
        return self.weigh(values, targets, layer)

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        return ops.take(class_weight_tensor(self, class_weight), ops.maximum(targets, 0))

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        answers = super().decode(outputs)
        return {**answers, **self.spans(answers[""])}
