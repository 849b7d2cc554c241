"""Tensors mixed by weights of each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class Mixture(keras.layers.Layer):
    """Adds up tensors of one shape, each times a weight of the example.

    Inputs are a list: the weights, shape `(batch, n)`, and `n` tensors of one shape `(batch, ...)`, which is
    that of the output; its type is the layer's compute dtype.

    Example:

    >>> mixture = mtlkeras.layers.Mixture()
    >>> float(mixture([np.array([[0.5, 0.25]]), np.array([[2.0]]), np.array([[4.0]])])[0, 0])
    2.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        weights, *values = inputs
        total: Any = 0.0
        for place, value in enumerate(values):
            shape = (-1, *[1] * (len(value.shape) - 1))
            total = total + ops.reshape(ops.cast(weights[:, place], value.dtype), shape) * value
        return total

    def compute_mask(
        self, inputs: Sequence[Tensor], previous_mask: Sequence[Tensor | None] | None = None
    ) -> Tensor | None:
        return previous_mask[1] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        return input_shape[1]
