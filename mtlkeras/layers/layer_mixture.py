"""Tensors of several layers, added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class LayerMixture(keras.layers.Layer):
    """Adds up what several layers gave, each times a trained number.

    Ruder et al. 2019, Latent Multi-task Architecture Learning: the sum over the layers t of beta_t h_t.

    Args:
        last: Where the number of the last layer begins, in [0, 1]; the others share the rest evenly.

    Inputs are a list of T tensors of one shape, which is that of the output; its type is the layer's
    compute dtype. The weights `beta` are of shape `(T,)`.

    Example:

    >>> mixture = mtlkeras.layers.LayerMixture(last=0.75)
    >>> float(mixture([np.array([[4.0]]), np.array([[8.0]])])[0, 0])
    7.0
    """

    def __init__(self, last: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = last
        self.supports_masking = True

    def build(self, input_shape: Sequence[Any]) -> None:
        self.beta = self.add_weight(shape=(len(input_shape),), initializer=self._begin, name="beta")

    def _begin(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        (count,) = shape
        others = [(1.0 - self.last) / (count - 1)] * (count - 1) if count > 1 else []
        return ops.convert_to_tensor([*others, self.last if others else 1.0], dtype)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        beta: Any = ops.convert_to_tensor(self.beta)
        total: Any = 0.0
        for place, x in enumerate(inputs):
            total = total + beta[place] * x
        return total

    def gate_values(self, *inputs: Any) -> np.ndarray:
        """Returns the weights, which are the same for all inputs: float32 of shape `(T,)`.

        Args:
            *inputs: Not used.
        """
        return ops.convert_to_numpy(self.beta).astype("float32")

    def compute_mask(self, inputs: Sequence[Tensor], previous_mask: Any = None) -> Any:
        return previous_mask[-1] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        return tuple(input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "last": self.last}
