"""Tensors of several tasks, each mixed with those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class CrossStitchUnit(keras.layers.Layer):
    """A cross-stitch unit: of K tensors each becomes a weighted sum of all.

    Misra et al. 2016, Cross-stitch Networks for Multi-task Learning, equation 1: x'_k = sum over j of
    alpha_kj x_j. With `subspaces` each tensor is cut into parts of as many channels, and every part is
    a weighted sum of all parts of all tensors (Ruder et al. 2019, Latent Multi-task Architecture Learning).
    The weights begin with rows that sum to 1.

    Args:
        own: Where a tensor's weight for itself begins, in [0, 1]; the others share the rest evenly.
        per_channel: Whether each channel has weights of its own; else one number serves for all.
        subspaces: Number of parts that the channels of each tensor are cut into.

    Inputs are a list of K tensors of one shape `(batch, ..., channels)`; outputs a list of the same
    shapes, in the layer's compute dtype. The weights `alpha` are of shape `(n, n)` with `n = K * subspaces`,
    or `(n, n, channels // subspaces)`, the parts of a tensor side by side.

    Raises:
        ValueError: When built, if the tensors differ in shape, or their channels are not cut evenly.

    Example:

    >>> unit = mtlkeras.layers.CrossStitchUnit(own=0.75)
    >>> [float(x[0, 0]) for x in unit([np.array([[4.0]]), np.array([[8.0]])])]
    [5.0, 7.0]
    """

    def __init__(
        self, own: float = 0.9, per_channel: bool = False, subspaces: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.own, self.per_channel, self.subspaces = own, per_channel, subspaces
        self.supports_masking = True

    def build(self, input_shape: Sequence[Any]) -> None:
        channels = input_shape[0][-1]
        if any(tuple(shape[1:]) != tuple(input_shape[0][1:]) for shape in input_shape):
            shapes = ", ".join(str(tuple(shape[1:])) for shape in input_shape)
            raise ValueError(
                f"Layer '{self.name}' mixes tensors of one shape; received those of shapes {shapes}."
            )
        if channels % self.subspaces:
            raise ValueError(
                f"Layer '{self.name}' cuts {channels} channels into {self.subspaces} subspaces: their number "
                "must divide that of the channels."
            )
        count = len(input_shape) * self.subspaces
        shape = (count, count, channels // self.subspaces) if self.per_channel else (count, count)
        self.alpha = self.add_weight(shape=shape, initializer=self._begin, name="alpha")

    def _begin(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        count = shape[0]
        own = self.own if count > 1 else 1.0
        matrix = np.full((count, count), (1.0 - own) / max(count - 1, 1))
        np.fill_diagonal(matrix, own)
        matrix = matrix.reshape(count, count, *[1] * (len(shape) - 2))
        return ops.convert_to_tensor(np.broadcast_to(matrix, shape), dtype)

    def call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        parts = [part for x in inputs for part in self._cut(x)]
        alpha: Any = ops.convert_to_tensor(self.alpha)
        # Batch and places; channels come last.
        between, channels = [1] * (len(inputs[0].shape) - 1), tuple(self.alpha.shape)[2:] or (1,)
        mixed: Any = 0.0
        for place, part in enumerate(parts):
            weights = ops.reshape(alpha[:, place], (len(parts), *between, *channels))
            mixed = mixed + weights * ops.expand_dims(part, 0)
        found = ops.unstack(mixed, len(parts), axis=0)
        return [self._joined(found[i : i + self.subspaces]) for i in range(0, len(found), self.subspaces)]

    def _cut(self, x: Tensor) -> list[Tensor]:
        return [x] if self.subspaces == 1 else ops.split(x, self.subspaces, axis=-1)

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return parts[0] if self.subspaces == 1 else ops.concatenate(parts, axis=-1)

    def gate_values(self, *inputs: Any) -> np.ndarray:
        """Returns the weights, which are the same for all inputs; of channels their mean.

        Args:
            *inputs: Not used.

        Returns:
            A float32 matrix of shape `(n, n)`, a row for each output.
        """
        alpha = ops.convert_to_numpy(self.alpha).astype("float32")
        return alpha.mean(axis=-1) if self.per_channel else alpha

    def compute_mask(self, inputs: Sequence[Tensor], previous_mask: Any = None) -> Any:
        return previous_mask

    def compute_output_shape(self, input_shape: Sequence[Any]) -> list[Shape]:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        own = {"own": self.own, "per_channel": self.per_channel, "subspaces": self.subspaces}
        return {**super().get_config(), **own}
