"""Private features held apart from shared ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class Orthogonality(keras.layers.Layer):
    """Passes private features on and adds to the losses how much they vary together with shared ones.

    `strength * |Hs^T Hp|_F^2 / n^2` for the `n` rows of the private features Hp and of shared ones Hs, summed
    over these (Bousmalis et al. 2016, Domain Separation Networks, eq. 5). As in the authors' code, rows are
    centred over the batch and of length one, so that it is no matter of scale; by `n` it does not depend on
    the size of the batch. It computes in float32.

    Args:
        strength: Factor of the loss.

    Inputs are a list: the private features, shape `(batch, ..., features)`, and shared ones of the same
    shape but for the last axis. Places of maps and steps of sequences are rows too. The output is the first.

    Raises:
        ValueError: If the strength is negative or not finite.

    Example:

    >>> layer = mtlkeras.layers.Orthogonality(1.0)
    >>> x = np.array([[1.0, 0.0], [-1.0, 0.0]], "float32")
    >>> _ = layer([x, x[:, ::-1]])
    >>> float(layer.losses[0])  # Both vary in one and the same way, along other axes.
    1.0
    """

    def __init__(self, strength: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (np.isfinite(strength) and strength >= 0):
            raise ValueError(
                f"Orthogonality: strength must be finite and not negative; received {strength!r}."
            )
        self.strength = float(strength)
        self.supports_masking = True

    def call(self, inputs: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        """Returns the private features.

        Args:
            inputs: As above.
            present: Bool `(batch, time)` of sequences: the steps that count.
        """
        private, *shared = inputs
        counted = None if present is None else ops.reshape(ops.cast(present, "float32"), (-1, 1))
        own = _directions(private, counted)
        rows: Any = ops.cast(ops.shape(own)[0], "float32") if counted is None else ops.sum(counted)
        for other in shared:
            together = ops.matmul(ops.transpose(own), _directions(other, counted))
            self.add_loss(self.strength * ops.sum(ops.square(together / ops.maximum(rows, 1.0))))
        return private

    def compute_mask(
        self, inputs: Sequence[Tensor], previous_mask: Sequence[Tensor | None] | None = None
    ) -> Tensor | None:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}


def _directions(values: Tensor, counted: Tensor | None) -> Tensor:
    """Returns features in rows, centred over those that count and of length one; others zero."""
    rows = ops.reshape(ops.cast(values, "float32"), (-1, values.shape[-1]))
    if counted is None:
        rows = rows - ops.mean(rows, axis=0, keepdims=True)
    else:
        count = ops.maximum(ops.sum(counted), 1.0)
        rows = (rows - ops.sum(rows * counted, axis=0, keepdims=True) / count) * counted
    return rows * ops.rsqrt(ops.maximum(ops.sum(ops.square(rows), axis=-1, keepdims=True), 1e-12))
