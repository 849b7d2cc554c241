"""The words that were hidden."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np

from mtlkeras._fields import whole_number
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.heads._softmax_steps import SoftmaxSteps
from mtlkeras.layers.sequence_output import SequenceOutput
from mtlkeras.metrics import TokenAccuracy
from mtlkeras.specs import spec


@spec
class MaskedToken(SoftmaxSteps):
    """Tells which tokens were hidden from the model, the first task that BERT is pre-trained on.

    Devlin et al. 2019, section 3.1, task 1, with the network of the paper's code: a dense layer
    with GELU and a normalisation, then the logits of all tokens of the vocabulary. (The logits have
    weights of their own here; the code takes the embeddings.)

    The output has shape `(batch, time, vocabulary_size)`, with rows of zeros where the trunk's mask
    has no token. Labels are ids of shape `(batch, time)`, `mtlkeras.MISSING` for all tokens that
    were not hidden; `mtlkeras.data.MaskTokens` makes them. The task's loss is the mean
    cross-entropy over the hidden tokens of the batch.

    Args:
        vocabulary_size: Number of ids, padding included: the encoder's `size`.

    Metrics: `"accuracy"` of the hidden tokens (default).

    Raises:
        ValueError: If a field does not fit.

    Example:

    ```python
    head = mtlkeras.heads.MaskedToken(vocabulary_size=1000)
    ```
    """

    default_metrics: ClassVar = ("accuracy",)
    metric_names: ClassVar = ("accuracy",)

    vocabulary_size: int

    def validate(self) -> None:
        super().validate()
        whole_number("MaskedToken", "vocabulary_size", self.vocabulary_size, lowest=3)

    @property
    def units(self) -> int:
        return self.vocabulary_size

    def scores(self, features: Features, task: str) -> Tensor:
        (x,) = self.reads(features, task).values()
        x = self._beside_others(x, features, task)
        x = self._dense(x.shape[-1], f"{task}_transform", "gelu")(x)
        x = keras.layers.LayerNormalization(epsilon=1e-12, dtype="float32", name=f"{task}_norm")(x)
        return self._dense(self.units, f"{task}_logits", None)(self._dropped(x, f"{task}_dropout"))

    def metric(self, name: str) -> keras.metrics.Metric:
        return TokenAccuracy(name=name) if name == "accuracy" else super().metric(name)

    def labels(self, outputs: np.ndarray, layer: SequenceOutput) -> np.ndarray:
        """Returns for each example the tuple of the likeliest ids, cut to its length."""
        answers = np.empty(len(outputs), object)
        for i, row in enumerate(np.asarray(layer.answers(keras.ops.convert_to_tensor(outputs)))):
            answers[i] = tuple(int(number) for number in row if number >= 0)
        return answers
