"""Means over as many windows as another tensor has pixels or steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class AdaptivePooling(keras.layers.Layer):
    """Takes maps or sequences to the size of others, by means over windows that cover them evenly.

    Of n pixels or steps, the i-th of m windows has those from `floor(i n / m)` to `ceil((i + 1) n / m)`. With
    masks of sequences, which have their steps first, n and m are the numbers of steps of each example, so
    that padding changes nothing; windows beyond the last step give zeros.

    Inputs are a list: floats `(batch, height, width, channels)` or `(batch, time, features)`, a tensor of the
    same rank whose size the output gets, and perhaps for sequences the bool masks `(batch, time)` of both.

    Example:

    >>> x = np.array([[[2.0], [4.0], [6.0]]])
    >>> mtlkeras.layers.AdaptivePooling()([x, np.zeros((1, 2, 5))])[0, :, 0].numpy().tolist()  # TensorFlow
    [3.0, 5.0]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Sequence[Tensor], previous_mask: Any = None) -> None:
        """The mask that holds after it goes its own way, as a tensor."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, like, *masks = inputs
        old, new = ops.shape(x), ops.shape(like)
        if len(x.shape) == 4:
            rows, columns = (self._shares(old[axis], new[axis]) for axis in (1, 2))
            return ops.einsum("pw,bowc->bopc", columns, ops.einsum("oh,bhwc->bowc", rows, x))
        if not masks:
            return ops.einsum("ot,btc->boc", self._shares(old[1], new[1]), x)
        steps = [ops.sum(ops.cast(mask, "int32"), axis=1)[:, None, None] for mask in masks]
        return ops.matmul(self._shares(old[1], new[1], *steps), x)

    def _shares(self, old: Any, new: Any, old_steps: Any = None, new_steps: Any = None) -> Any:
        """Returns the share of each of the old places in each new one: `(new, old)`, or by example."""
        n, m = (old, new) if old_steps is None else (old_steps, ops.maximum(new_steps, 1))
        place, window = ops.arange(old)[None, :], ops.arange(new)[:, None]
        first, end = window * n // m, ((window + 1) * n + m - 1) // m
        within = ops.cast((place >= first) & (place < end) & (window < m), self.compute_dtype)
        return within / ops.cast(ops.maximum(end - first, 1), self.compute_dtype)

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        x, like, *_ = inputs
        return keras.KerasTensor((x.shape[0], *like.shape[1:-1], x.shape[-1]), dtype=self.compute_dtype)
