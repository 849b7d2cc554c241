"""Examples for the two tasks that BERT is pre-trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras._types import Inputs, Tensor
from mtlkeras.specs import Spec, spec


@spec
class MaskTokens(Spec):
    """Hides some tokens of each batch, for `mtlkeras.data.augment`; other ones in each epoch.

    Devlin et al. 2019, BERT, section 3.1, task 1: each token is chosen with probability `rate`; of
    those chosen, 80 % become `[MASK]`, 10 % another token at random, and 10 % stay as they are.

    Args:
        mask_id: Id of `[MASK]`, such as `BERT(...).mask_id`.
        vocabulary_size: Number of ids, padding included. Tokens at random have the ids 2 and up.
        rate: Share of the tokens to choose.
        task: Name of the task, the key of its labels.

    Called with inputs, labels and a seed. The inputs are ids `(batch, time)`, or a dict of several
    such; the labels get the ids of the chosen tokens, of all inputs one after the other, with
    `mtlkeras.MISSING` elsewhere. Padding (0) is never chosen.

    Raises:
        ValueError: If a field does not fit.

    Example:

    ```python
    hide = mtlkeras.data.MaskTokens(mask_id=12, vocabulary_size=10, rate=0.5)
    ids, labels = hide(np.array([[4, 5, 6, 0]], "int32"), {}, seed=3)
    labels["masked_token"].shape  # (1, 4)
    ```
    """

    mask_id: int
    vocabulary_size: int
    _: dataclasses.KW_ONLY
    rate: float = 0.15
    task: str = "masked_token"

    def validate(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"MaskTokens: rate must be in (0, 1]; received {self.rate!r}.")
        if self.mask_id < 0:
            raise ValueError(f"MaskTokens: mask_id must not be negative; received {self.mask_id}.")
        if self.vocabulary_size < 3:
            raise ValueError(
                f"MaskTokens: vocabulary_size must be at least 3; received {self.vocabulary_size}."
            )

    def __call__(self, inputs: Inputs, labels: Mapping[str, Any], seed: Tensor) -> tuple[Any, dict[str, Any]]:
        import tensorflow as tf

        parts = dict(inputs) if isinstance(inputs, Mapping) else {"": inputs}
        hidden = {name: self._hidden(ids, [seed, place]) for place, (name, ids) in enumerate(parts.items())}
        targets = tf.concat([target for _, target in hidden.values()], axis=1)
        seen = {name: ids for name, (ids, _) in hidden.items()}
        return (seen if isinstance(inputs, Mapping) else seen[""]), {**labels, self.task: targets}

    def _hidden(self, ids: Any, seed: Any) -> tuple[Any, Any]:
        """Returns what the model sees of some ids, and the labels."""
        import tensorflow as tf

        ids = tf.convert_to_tensor(ids)
        shape = tf.shape(ids)
        # One number a token decides both: below the rate it is chosen, and how far below how.
        drawn = tf.random.stateless_uniform(shape, seed)
        chosen = (drawn < self.rate) & (ids != 0)
        part = drawn / self.rate
        others = tf.random.stateless_uniform(
            shape, [seed[0], seed[1] + 1_000], 2, self.vocabulary_size, dtype=ids.dtype
        )
        hidden = tf.where(part < 0.8, tf.cast(self.mask_id, ids.dtype), tf.where(part < 0.9, others, ids))
        return tf.where(chosen, hidden, ids), tf.where(chosen, ids, MISSING)


def next_sentence_pairs(
    documents: Sequence[Sequence[Any]], seed: int = 0
) -> tuple[list[Any], list[Any], np.ndarray]:
    """Makes pairs of sentences, half of which follow each other in their document.

    Devlin et al. 2019, BERT, section 3.1, task 2. Each sentence but the last of a document begins
    one pair; the other half of the pairs end with a sentence of another document.

    Args:
        documents: The sentences of each document, in their order.
        seed: Seed of the draws.

    Returns:
        The first and the second sentences, and labels, int32: 0 if the second follows the first,
        1 if not.

    Raises:
        ValueError: If fewer than two documents have sentences.

    Example:

    ```python
    documents = [["a", "b", "c"], ["d", "e"]]
    first, second, label = mtlkeras.data.next_sentence_pairs(documents)
    first  # ['a', 'b', 'd']
    ```
    """
    documents = [document for document in documents if len(document)]
    if len(documents) < 2:
        raise ValueError(f"next_sentence_pairs needs at least two documents; received {len(documents)}.")
    random = np.random.default_rng(seed)
    first, second, labels = [], [], []
    for number, document in enumerate(documents):
        for place in range(len(document) - 1):
            is_next = random.random() < 0.5
            if not is_next:
                # One of the others, with equal chance: the last takes the place of its own.
                other = int(random.integers(len(documents) - 1))
                strange = documents[len(documents) - 1 if other == number else other]
            first.append(document[place])
            second.append(document[place + 1] if is_next else strange[int(random.integers(len(strange)))])
            labels.append(0 if is_next else 1)
    return first, second, np.array(labels, "int32")
