"""Sequences with nothing where there is no step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class MaskSteps(keras.layers.Layer):
    """Puts zeros where the mask has no step, so that convolutions beside it see no padding.

    Input: `(batch, time, features)`, and as `mask` bool `(batch, time)`. Output: as the input.

    Example:

    ```python
    mtlkeras.layers.MaskSteps()(np.ones((1, 2, 1)), mask=np.array([[True, False]]))  # [[[1.0], [0.0]]]
    ```
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """The mask goes its own way, as a tensor, and not along with what it was applied to."""

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return inputs
        mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
        return ops.where(mask, inputs, ops.zeros_like(inputs))

    def compute_output_spec(self, inputs: Tensor, mask: Tensor | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable("mtlkeras")
class MaskedMaxPooling1D(keras.layers.Layer):
    """The maximum over windows of the steps that are there.

    The first window begins with the first step, whatever the length: Keras' `"same"` padding
    would begin it there or one earlier, so that a batch's padding changed the result.

    Args:
        size: Number of steps of a window.
        strides: From the beginning of a window to that of the next.

    Called with `(x, mask)`; `x` has the shape `(batch, time, features)`, `mask` `(batch, time)`.
    Returns both with `ceil(time / strides)` steps. A window with no step gives zeros.

    Example:

    ```python
    x, mask = np.array([[[1.0], [3.0], [9.0]]]), np.array([[True, True, False]])
    mtlkeras.layers.MaskedMaxPooling1D(3, 2)([x, mask])  # [[[3.0], [0.0]]], [[True, False]]
    ```
    """

    def __init__(self, size: int = 3, strides: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.strides = size, strides
        self.supports_masking = True

    def call(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        x, mask = inputs
        mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
        x = self._pooled(ops.where(mask, x, ops.full_like(x, self._lowest(x))))
        mask = self._pooled(ops.cast(mask, x.dtype)) > 0
        return ops.where(mask, x, ops.zeros_like(x)), mask[..., 0]

    def _pooled(self, x: Tensor) -> Any:
        padded = ops.pad(x, ((0, 0), (0, self.size - 1), (0, 0)), constant_values=self._lowest(x))
        return ops.max_pool(padded, self.size, self.strides, padding="valid")

    def _lowest(self, x: Tensor) -> float:
        """Returns what is less than any feature."""
        return -6e4 if keras.backend.standardize_dtype(x.dtype) == "float16" else -1e30

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        x, _ = inputs
        time = None if x.shape[1] is None else -(-x.shape[1] // self.strides)
        return (
            keras.KerasTensor((x.shape[0], time, x.shape[2]), dtype=self.compute_dtype),
            keras.KerasTensor((x.shape[0], time), dtype="bool"),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "strides": self.strides}
