"""Maps in the size of others that is known when the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class ResizeLike(keras.layers.Layer):
    """Resizes maps bilinearly to the height and width of other maps.

    `keras.layers.Resizing` takes the size as numbers; this layer takes it from a tensor, so that a model of
    pictures of any size gives answers of theirs. Where no size is known when the model is built, `call`
    reads it at each step.

    Inputs are a list: floats `(batch, height, width, channels)`, and a tensor of rank 4 of any type, of which
    only height and width are looked at.

    Example:

    >>> tuple(mtlkeras.layers.ResizeLike()([np.ones((1, 2, 3, 4)), np.ones((1, 5, 7, 1))]).shape)
    (1, 5, 7, 4)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, like = inputs
        size = tuple(ops.shape(like)[1:3])
        return ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        x, like = inputs
        shape = (x.shape[0], *like.shape[1:3], x.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_mask(self, inputs: Sequence[Tensor], previous_mask: Any = None) -> None:
        """Maps have no mask."""
