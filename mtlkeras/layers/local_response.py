"""Local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each channel by the energy of its neighbour channels.

    `y[c] = x[c] / (bias + alpha * sum(x[j] ** 2)) ** beta`, where `j` runs over the `size`
    channels around `c` that exist. There are no weights. Computes in float32.

    Args:
        size: Number of neighbour channels in the sum, odd.
        bias: Constant that keeps the divisor from zero.
        alpha: Factor of the sum.
        beta: Power of the divisor.
        positions: Where each channel stood before others were removed (`mtlkeras.compress`), rising; so that
            it has the neighbours that it had. `None` for 0, 1, 2, ...

    Input and output shape: `(batch, ..., channels)`.

    Reference: Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification with Deep
    Convolutional Neural Networks, section 3.3, whose constants are the defaults.

    Raises:
        ValueError: If `size` is even or below 1, or there are other positions than channels.

    Example:

    ```python
    layer = mtlkeras.layers.LocalResponseNormalization()
    layer(np.ones((1, 2, 2, 8))).shape  # (1, 2, 2, 8)
    ```
    """

    def __init__(
        self,
        size: int = 5,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        positions: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"LocalResponseNormalization: size must be odd and positive; received {size}.")
        self.size, self.bias, self.alpha, self.beta = size, bias, alpha, beta
        self.positions = None if positions is None else tuple(positions)

    def build(self, input_shape: Shape) -> None:
        if self.positions is not None and len(self.positions) != input_shape[-1]:
            raise ValueError(
                f"LocalResponseNormalization: expected {len(self.positions)} channels, one for each "
                f"position; received {input_shape[-1]}."
            )

    def call(self, inputs: Tensor) -> Tensor:
        # Squares overflow float16 from 256 on.
        x = ops.cast(inputs, "float32")
        energy = ops.matmul(ops.square(x), ops.convert_to_tensor(self._neighbours(inputs.shape[-1])))
        # As exp and log, since the gradient of a power is several times slower.
        return ops.cast(x * ops.exp(-self.beta * ops.log(self.bias + self.alpha * energy)), inputs.dtype)

    def _neighbours(self, channels: int) -> np.ndarray:
        """Returns the matrix with ones where two channels are neighbours.

        Multiplying by it sums the neighbours, many times faster than adding shifted copies.
        """
        number = np.arange(channels) if self.positions is None else np.array(self.positions)
        return (np.abs(number[:, None] - number[None]) <= self.size // 2).astype("float32")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"size": self.size, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        positions = {} if self.positions is None else {"positions": list(self.positions)}
        return {**super().get_config(), **own, **positions}
