"""Small layers that adapt features to a task, and begin as the identity."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor


class _Adapter(keras.layers.Layer):
    """Base of layers that add to each pixel, step or example what a narrow network makes of it."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"{type(self).__name__}: units must be at least 1; received {units!r}.")
        self.units = int(units)
        self.supports_masking = True

    def _dense(self, units: int, shape: Any, name: str, **kwargs: Any) -> Any:
        layer = keras.layers.Dense(units, name=name, dtype=self.dtype_policy, **kwargs)
        layer.build(shape)
        return layer

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("mtlkeras")
class ResidualAdapter(_Adapter):
    """`x + U a(D n(x))`: a normalisation, a narrow hidden layer and a shortcut around both.

    Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, section 2.1, with the normalisation
    before it of Bapna and Firat 2019, Simple, Scalable Adaptation for Neural Machine Translation, equations
    1 to 3. On maps U and D are 1x1 convolutions, as the residual adapters of Rebuffi et al. 2017 and 2018.
    The normalisation is over the features of each pixel or step, so no example sees another. U begins with
    zeros, so the layer begins as the identity.

    Args:
        units: Units of the hidden layer.
        activation: Its activation.

    Input: `(batch, ..., features)`. Output: as the input.

    Raises:
        ValueError: If `units` is not at least 1.

    Example:

    >>> layer = mtlkeras.layers.ResidualAdapter(units=2)
    >>> keras.ops.convert_to_numpy(layer(np.array([[1.0, 5.0, 3.0]]))).tolist()
    [[1.0, 5.0, 3.0]]
    """

    def __init__(self, units: int, activation: Any = "relu", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        self.norm = keras.layers.LayerNormalization(name="norm", dtype=self.dtype_policy)
        self.norm.build(input_shape)
        self.down = self._dense(self.units, input_shape, "down", kernel_initializer="he_normal")
        hidden = (*input_shape[:-1], self.units)
        self.up = self._dense(input_shape[-1], hidden, "up", kernel_initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.add(inputs, self.up(self.activation(self.down(self.norm(inputs)))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@keras.saving.register_keras_serializable("mtlkeras")
class LowRankUpdate(_Adapter):
    """`x + B A x`, with a narrow product of two matrices.

    The update of Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, equation 3, of the
    identity. B begins with zeros, so the layer begins as the identity.

    Args:
        units: Rank of the update.

    Input: `(batch, ..., features)`. Output: as the input.

    Raises:
        ValueError: If `units` is not at least 1.

    Example:

    >>> layer = mtlkeras.layers.LowRankUpdate(units=1)
    >>> keras.ops.convert_to_numpy(layer(np.array([[1.0, 5.0, 3.0]]))).tolist()
    [[1.0, 5.0, 3.0]]
    """

    def build(self, input_shape: Any) -> None:
        self.down = self._dense(self.units, input_shape, "down", use_bias=False)
        hidden = (*input_shape[:-1], self.units)
        self.up = self._dense(input_shape[-1], hidden, "up", use_bias=False, kernel_initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.add(inputs, self.up(self.down(inputs)))
