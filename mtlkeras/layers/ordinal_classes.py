"""Class probabilities of ordered classes as logs, for a dependence between tasks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor
from mtlkeras.layers._thresholds import Thresholds
from mtlkeras.layers.output import TaskOutput


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalClasses(Thresholds, keras.layers.Layer):
    """Turns one score into log-probabilities of ordered classes, by cumulative logits.

    log P(class = k) for P(class > k) = sigmoid(score - t_k), as of `mtlkeras.heads.Ordinal`: what such a head
    gives to a dependence between tasks.

    Args:
        num_classes: Number of classes.
        **kwargs: As for every Keras layer; `dtype` is always float32.

    Inputs are of shape `(batch, 1)`, outputs `(batch, num_classes)`.

    Example:

    >>> layer = mtlkeras.layers.OrdinalClasses(3)
    >>> tuple(layer(np.zeros((2, 1), "float32")).shape)
    (2, 3)
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def build(self, input_shape: Shape) -> None:
        self.add_thresholds(self.num_classes - 1)

    def call(self, inputs: Tensor) -> Tensor:
        return log_classes(inputs - self.thresholds())

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalMarginals(TaskOutput):
    """The last layer of an `Ordinal` head whose class probabilities a dependence gives, as logs."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.softmax(inputs)

    def scores(self, inputs: Tensor) -> Tensor:
        """Returns the cumulative logits, of "the class is above k"."""
        parts = [
            ops.logsumexp(inputs[:, k:], axis=-1) - ops.logsumexp(inputs[:, :k], axis=-1)
            for k in range(1, self.head.num_classes)
        ]
        return ops.stack(parts, axis=-1)


def log_classes(above: Tensor) -> Tensor:
    """Returns log-probabilities `(batch, classes)` for logits of "above k" `(batch, classes - 1)`.

    By s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the sigmoid s, none of which cancels.
    """
    gap = ops.minimum(above[:, 1:] - above[:, :-1], -1e-7)
    none = ops.zeros_like(above[:, :1])
    over = ops.concatenate([none, ops.log_sigmoid(above)], axis=-1)
    under = ops.concatenate([ops.log_sigmoid(-above), none], axis=-1)
    return over + under + ops.concatenate([none, ops.log(-ops.expm1(gap)), none], axis=-1)
