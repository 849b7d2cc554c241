"""A linear-chain conditional random field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._fields import whole_number
from mtlkeras._types import ArrayLike, Initializer, Regularizer, Shape, Tensor
from mtlkeras.layers._chain import (
    IMPOSSIBLE,
    Chain,
    ChainInputs,
    best_paths,
    clamped_log_partition,
    expectations,
    finite_scores,
    log_partition_if,
    path_score,
    read_scores,
    read_states,
)
from mtlkeras.layers._chain import log_partition as chain_log_partition
from mtlkeras.layers._tag_constraints import allowed_transitions


@keras.saving.register_keras_serializable("mtlkeras")
class CRF(keras.layers.Layer):
    """A linear-chain conditional random field over tags.

    The score of the tags `y` of a sequence with logits `x` is

        s(y) = start[y_1] + sum_t x_t[y_t] + sum_t transitions[y_t, y_(t+1)] + end[y_T]

    and their probability `exp(s(y)) / sum over all y' of exp(s(y'))` (Lafferty et al. 2001,
    Conditional Random Fields; forward-backward recursions in Sutton and McCallum 2012, section 4.1).
    The gradient of the log-partition is the marginals, computed by the recursions themselves.

    A mask may be of any shape: steps without a token are left out as if the sequence were
    closed up, be they at its end, its beginning or in between. All is computed in float32.

    A logit of `-inf` forbids a tag at a step, a transition, start or end score of `-inf` forbids
    that. What is then impossible has a log-likelihood, log-partition or score below -1e29, a finite
    number, without a gradient; marginals of a sequence in which nothing is possible are 0. A
    sequence with a logit of NaN or `+inf` where there is a step has NaN for an answer (0 for its
    best tags may be any), without a gradient; others in the batch know nothing of it.

    Args:
        num_tags: Number of tags.
        constraints: `"BIO"`, `"BIOES"` or `"IOBES"` for a chain in which decoding never gives a
            tag where the scheme forbids it, or `None`.
        tags: The tags' names by index, which constraints need.
        constrain_training: Whether forbidden paths are left out of the partition as well. A
            sequence whose own labels break the scheme is then trained without constraints.
        initializer: Of the transition, start and end scores.
        regularizer: Of the same.

    Input shape: logits `(batch, time, num_tags)`, mask `(batch, time)` of bool or `None` for all.

    Output shape: called as a layer it gives the best tags, int32 of shape `(batch, time)`.

    Raises:
        ValueError: If constraints are asked for without names, or a name is not of the scheme. By
            the methods: if a shape does not fit, or a tag whose value can be read is out of range.
            In a graph, where it cannot be, such a sequence has NaN for an answer.

    Example:

    ```python
    crf = mtlkeras.layers.CRF(3, constraints="BIO", tags=("O", "B-city", "I-city"))
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True] * 4, [True, True, False, False]])
    tags, score = crf.decode(logits, mask)
    loss = -crf.log_likelihood(logits, tags, mask)  # shape (2,)
    ```
    """

    def __init__(
        self,
        num_tags: int,
        constraints: str | None = None,
        tags: Sequence[str] | None = None,
        constrain_training: bool = False,
        initializer: Initializer = "zeros",
        regularizer: Regularizer = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.num_tags = num_tags = whole_number("CRF", "num_tags", num_tags, 1)
        self.constraints = constraints
        self.tags = None if tags is None else tuple(tags)
        self.constrain_training = constrain_training
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.supports_masking = True
        self._forbidden: Any = None
        if self.tags is not None and len(self.tags) != num_tags:
            raise ValueError(f"CRF: tags must have {num_tags} names; received {len(self.tags)}.")
        if constraints is not None:
            if self.tags is None:
                raise ValueError(f"CRF: constraints={constraints!r} needs tags, the tags' names by index.")
            allowed = allowed_transitions(self.tags, constraints)
            self._forbidden = tuple((~a).astype("float32") * IMPOSSIBLE for a in allowed)
        elif constrain_training:
            raise ValueError("CRF: constrain_training needs constraints.")
        options = {"initializer": self.initializer, "regularizer": self.regularizer}
        self.transitions = self.add_weight((num_tags, num_tags), name="transitions", **options)
        self.start = self.add_weight((num_tags,), name="start", **options)
        self.end = self.add_weight((num_tags,), name="end", **options)
        self.built = True

    def build(self, input_shape: Shape) -> None:
        """The weights do not depend on the input."""

    def call(self, logits: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        return self.decode(logits, mask)[0]

    def compute_output_spec(self, logits: Tensor, mask: Tensor | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(logits.shape[:2], dtype="int32")

    def log_partition(self, logits: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        """Returns the log-partition, shape `(batch,)`; 0 for an empty sequence."""
        inputs = self._read(logits, mask)
        chain = self._chain(inputs, self.constrain_training)
        return inputs.per_sequence(chain_log_partition(chain, inputs.packing))

    def score(self, logits: ArrayLike, tags: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        """Returns the score s(y) of given tags, shape `(batch,)`; differentiable.

        Args:
            logits: Shape `(batch, time, num_tags)`.
            tags: Whole numbers, shape `(batch, time)`; of any value where there is no step.
            mask: Shape `(batch, time)`.
        """
        inputs = self._read(logits, mask)
        tags, wrong = read_states(self._owner, "tag", tags, self.num_tags, inputs, unknown=False)
        score = path_score(self._chain(inputs, False), tags, inputs.packing)
        return inputs.invalidated(wrong).per_sequence(score)

    def log_likelihood(self, logits: ArrayLike, tags: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        """Returns the log-likelihood of given tags, shape `(batch,)`.

        Args:
            logits: Shape `(batch, time, num_tags)`.
            tags: Whole numbers, shape `(batch, time)`. A step whose tag is `mtlkeras.MISSING`
                may have any: the likelihood is that of the tags that are known.
            mask: Shape `(batch, time)`.
        """
        inputs = self._read(logits, mask)
        tags, wrong = read_states(self._owner, "tag", tags, self.num_tags, inputs, unknown=True)
        return inputs.invalidated(wrong).per_sequence(self._log_likelihood(inputs, tags))

    def _log_likelihood(self, inputs: ChainInputs, tags: ArrayLike) -> Tensor:
        packing, free = inputs.packing, self._chain(inputs, False)
        if not self.constrain_training:
            return _log_ratio(clamped_log_partition(free, tags, packing), chain_log_partition(free, packing))
        constrained = self._chain(inputs, True)
        clamped = clamped_log_partition(constrained, tags, packing)
        breaks = clamped < IMPOSSIBLE / 2
        some_break = ops.any(breaks)
        unconstrained = _log_ratio(
            clamped_log_partition(free, tags, packing, some_break),
            log_partition_if(some_break, free, packing),
        )
        within = _log_ratio(clamped, chain_log_partition(constrained, packing))
        return ops.where(breaks, unconstrained, within)

    def marginals(self, logits: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        """Returns the probability of each tag at each step, shape `(batch, time, num_tags)`.

        Zero where there is no step. With constraints forbidden paths have none.
        """
        inputs = self._read(logits, mask)
        return inputs.per_step(expectations(self._chain(inputs, True), inputs.packing).states)

    def decode(self, logits: ArrayLike, mask: ArrayLike | None = None, k: int = 1) -> tuple[Any, Any]:
        """Returns the tags of the highest scores, and the scores.

        Args:
            logits: Shape `(batch, time, num_tags)`.
            mask: Shape `(batch, time)`.
            k: How many, at least 1.

        Returns:
            Tags, int32 of shape `(batch, time)` with 0 where there is no step, and scores of shape
            `(batch,)`; for `k > 1` of shapes `(batch, k, time)` and `(batch, k)`, best first. Where
            a sequence has fewer than k paths the last scores are below -1e29.
        """
        inputs, k = self._read(logits, mask), whole_number(self._owner, "k", k, 1)
        return inputs.per_path(best_paths(self._chain(inputs, True), inputs.packing, k))

    @property
    def _owner(self) -> str:
        return f"CRF '{self.name}'"

    def _read(self, logits: ArrayLike, mask: ArrayLike | None) -> ChainInputs:
        scores = ops.convert_to_tensor(logits)
        if len(scores.shape) != 3 or scores.shape[-1] != self.num_tags:
            raise ValueError(
                f"{self._owner}: expected logits of shape (batch, time, {self.num_tags}); "
                f"received {tuple(scores.shape)}."
            )
        return read_scores(self._owner, mask, ops.cast(scores, "float32"))

    def _chain(self, inputs: ChainInputs, constrained: bool) -> Chain:
        # Sums, since a custom gradient takes tensors and a variable converts to itself.
        scores = [finite_scores(weight + 0.0) for weight in (self.transitions, self.start, self.end)]
        if constrained and self._forbidden is not None:
            scores = [score + forbidden for score, forbidden in zip(scores, self._forbidden, strict=True)]
        return Chain(inputs.values, *scores)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tags": self.num_tags,
            "constraints": self.constraints,
            "tags": self.tags and list(self.tags),
            "constrain_training": self.constrain_training,
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


def _log_ratio(clamped: Any, total: Any) -> Any:
    """Returns the log-likelihood for two log-partitions: `IMPOSSIBLE` where both are."""
    return ops.where(total < IMPOSSIBLE / 2, IMPOSSIBLE, clamped - total)
