"""Scores of other tasks beside the features of a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class Beside(keras.layers.Layer):
    """Puts tensors beside features, on the last axis.

    Args:
        gradients: Whether gradients flow through what stands beside the features.
        **kwargs: As for every Keras layer; `dtype` is always float32.

    Inputs are a list: features `(batch, ..., n)`, and tensors of their shape but for the last axis, or of
    shape `(batch, m)`, which stand beside every step or pixel. The output is float32.

    Raises:
        ValueError: When called, for a tensor of another rank.

    Example:

    >>> beside = mtlkeras.layers.Beside()
    >>> tuple(beside([np.ones((2, 5, 3)), np.ones((2, 4))]).shape)
    (2, 5, 7)
    """

    def __init__(self, gradients: bool = True, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.gradients = gradients
        self.supports_masking = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        features, *others = inputs
        parts = [features]
        for other in others if self.gradients else map(ops.stop_gradient, others):
            extra = len(features.shape) - len(other.shape)
            if extra and len(other.shape) == 2:
                other = ops.reshape(other, (-1, *[1] * extra, other.shape[-1]))
                shape = (*ops.shape(features)[:-1], other.shape[-1])
                other = ops.broadcast_to(other, shape)
            parts.append(other)
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        first = input_shape[0]
        for other in input_shape[1:]:
            if len(other) not in (2, len(first)):
                raise ValueError(
                    f"expected scores of shape (batch, m) or of rank {len(first)}, as the features; received "
                    f"shape {tuple(other)}."
                )
        return (*first[:-1], sum(shape[-1] for shape in input_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gradients": self.gradients}

    def compute_mask(
        self, inputs: Sequence[Tensor], previous_mask: Sequence[Tensor | None] | None = None
    ) -> Tensor | None:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None
