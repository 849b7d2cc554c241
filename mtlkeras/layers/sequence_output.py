"""The last layers of heads that answer for every step of a sequence."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.layers._chain import IMPOSSIBLE
from mtlkeras.layers.crf import CRF
from mtlkeras.layers.hmm import HMM
from mtlkeras.layers.output import TaskOutput
from mtlkeras.specs import Spec


@keras.saving.register_keras_serializable("mtlkeras")
class SequenceOutput(TaskOutput):
    """Turns the scores of each step into the head's output; takes `[scores, mask]`, or scores alone.

    Where the mask has no token all scores are about `IMPOSSIBLE`, so that scores and outputs of
    any time, after `predict` too, tell where the sequence is.

    Args:
        head: The head's spec, one of those that answer for every step.
        **kwargs: As for every Keras layer; `dtype` is always float32.

    Input shape: scores `(batch, time, n)` and a mask `(batch, time)` of bool. Output shape: that of the
    scores.
    """

    def __init__(self, head: Spec, **kwargs: Any) -> None:
        super().__init__(head, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> None:
        """The mask ends here: outputs tell by themselves where the sequence is."""

    def scores(self, inputs: Tensor | list[Tensor] | tuple[Tensor, Tensor]) -> Tensor:
        if not isinstance(inputs, (list, tuple)):
            return inputs
        scores, mask = inputs
        return ops.where(ops.expand_dims(mask, -1), scores, IMPOSSIBLE)

    def compute_output_spec(self, inputs: Tensor | list[Tensor] | tuple[Tensor, Tensor]) -> keras.KerasTensor:
        return super().compute_output_spec(inputs[0] if isinstance(inputs, (list, tuple)) else inputs)


class ChainOutput(SequenceOutput):
    """Scores of each step with a chain over them, which the loss and decoding use.

    The output is the scores themselves: what is best for a step depends on all others. Where
    there is no step, `losses`, `best_path` and `marginals` are given scores of 0. A subclass gives these.
    """

    def losses(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Returns the loss of each sequence, shape `(batch,)`, for tags of which some are -1."""
        raise NotImplementedError

    def best_path(self, scores: Tensor, mask: Tensor) -> tuple[Any, Any]:
        """Returns the best tags, `(batch, time)`, and their score, `(batch,)`."""
        raise NotImplementedError

    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Returns the probability of each tag at each step."""
        raise NotImplementedError

    def decode(self, outputs: Tensor) -> NamedTensors:
        mask = self.head.steps(outputs)
        outputs = ops.where(ops.expand_dims(mask, -1), outputs, 0.0)
        tags, score = self.best_path(outputs, mask)
        marginals = self.marginals(outputs, mask)
        probability = ops.take_along_axis(marginals, ops.expand_dims(tags, -1), axis=-1)[..., 0]
        tags = ops.where(mask, tags, -1)
        return {"": tags, "probability": probability, "score": score, **self.head.spans(tags)}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probability of each tag at each step, given the whole sequence."""
        mask = self.head.steps(outputs)
        return self.marginals(ops.where(ops.expand_dims(mask, -1), outputs, 0.0), mask)

    def answers(self, outputs: Tensor) -> Tensor:
        mask = self.head.steps(outputs)
        tags, _ = self.best_path(ops.where(ops.expand_dims(mask, -1), outputs, 0.0), mask)
        return ops.where(mask, tags, -1)


@keras.saving.register_keras_serializable("mtlkeras")
class CRFOutput(ChainOutput):
    """Scores of each step with a `mtlkeras.layers.CRF` over them."""

    def __init__(self, head: Spec, **kwargs: Any) -> None:
        super().__init__(head, **kwargs)
        self.crf = CRF(
            len(self.head.tags),
            constraints=self.head.scheme if self.head.constrain else None,
            tags=self.head.tags,
            constrain_training=self.head.constrain == "training",
            name="crf",
        )

    def losses(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        return -self.crf.log_likelihood(scores, tags, mask)

    def best_path(self, scores: Tensor, mask: Tensor) -> tuple[Any, Any]:
        return self.crf.decode(scores, mask)

    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        return self.crf.marginals(scores, mask)


@keras.saving.register_keras_serializable("mtlkeras")
class HMMOutput(ChainOutput):
    """Scores of each step with a `mtlkeras.layers.HMM` and a prior of the tags over them."""

    def __init__(self, head: Spec, **kwargs: Any) -> None:
        super().__init__(head, **kwargs)
        self.hmm = HMM(len(self.head.tags), "scores", final=self.head.final, name="hmm")
        self.prior_logits = self.add_weight((len(self.head.tags),), name="prior_logits", initializer="zeros")

    def _emissions(self, scores: Tensor) -> Any:
        """Returns log p(x_t | tag) but for what is the same for all tags, by Bayes' rule."""
        # Without gradient: else the likelihood would grow without bound as the prior of tags that
        # occur falls to 0.
        prior = ops.stop_gradient(ops.log_softmax(self.prior_logits))
        return ops.log_softmax(scores) - prior

    def losses(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        labelled = ops.logical_and(mask, tags >= 0)
        prior = ops.take(ops.log_softmax(self.prior_logits), ops.where(labelled, tags, 0))
        prior = ops.sum(ops.where(labelled, prior, 0.0), axis=1)
        return -self.hmm.log_likelihood(self._emissions(scores), mask, tags) - prior

    def best_path(self, scores: Tensor, mask: Tensor) -> tuple[Any, Any]:
        return self.hmm.decode(self._emissions(scores), mask)

    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        return self.hmm.posteriors(self._emissions(scores), mask)
