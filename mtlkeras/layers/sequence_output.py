"""The last layers of heads that answer for every step of a sequence."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras.layers.chain import IMPOSSIBLE
from mtlkeras.layers.crf import CRF
from mtlkeras.layers.output import TaskOutput


@keras.saving.register_keras_serializable("mtlkeras")
class SequenceOutput(TaskOutput):
    """Turns the scores of each step into the head's output; takes `[scores, mask]`, or scores alone.

    Where the mask has no token all scores are about `IMPOSSIBLE`, so that scores and outputs of
    any time, after `predict` too, tell where the sequence is.
    """

    def __init__(self, head: Any, **kwargs: Any) -> None:
        super().__init__(head, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """The mask ends here: outputs tell by themselves where the sequence is."""

    def scores(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            return inputs
        scores, mask = inputs
        return ops.where(ops.expand_dims(mask, -1), scores, IMPOSSIBLE)

    def compute_output_spec(self, inputs: Any) -> Any:
        return super().compute_output_spec(inputs[0] if isinstance(inputs, (list, tuple)) else inputs)


@keras.saving.register_keras_serializable("mtlkeras")
class CRFOutput(SequenceOutput):
    """Scores of each step with a `mtlkeras.layers.CRF` over them, which the loss and decoding use.

    The output is the scores themselves: what is best for a step depends on all others.
    """

    def __init__(self, head: Any, **kwargs: Any) -> None:
        super().__init__(head, **kwargs)
        self.crf = CRF(
            len(head.tags),
            constraints=head.scheme if head.constrain else None,
            tags=head.tags,
            constrain_training=head.constrain == "training",
            name="crf",
        )

    def decode(self, outputs: Any) -> dict[str, Any]:
        mask = self.head.steps(outputs)
        outputs = ops.where(ops.expand_dims(mask, -1), outputs, 0.0)
        tags, score = self.crf.decode(outputs, mask)
        chances = self.crf.marginals(outputs, mask)
        chance = ops.take_along_axis(chances, ops.expand_dims(tags, -1), axis=-1)[..., 0]
        tags = ops.where(mask, tags, -1)
        return {"": tags, "probability": chance, "score": score, **self.head.spans(tags)}

    def answers(self, outputs: Any) -> Any:
        mask = self.head.steps(outputs)
        tags, _ = self.crf.decode(ops.where(ops.expand_dims(mask, -1), outputs, 0.0), mask)
        return ops.where(mask, tags, -1)
