"""Layers that turn raw inputs into what a trunk computes with."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._fields import check_choice
from mtlkeras._types import Shape, Tensor

# Mean and standard deviation of ImageNet's pixels in RGB, on a scale of 0..1 ("torch"), and
# the mean in BGR on a scale of 0..255 ("caffe"), as keras.applications has them.
_TORCH_MEAN, _TORCH_SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)

MODES = ("tf", "torch", "caffe")


@keras.saving.register_keras_serializable("mtlkeras")
class ImagePreprocessing(keras.layers.Layer):
    """Turns pixels 0..255 into the numbers that a network of keras.applications was trained on.

    Computes in float32 and gives the layer's compute dtype.

    Args:
        mode: `"tf"` for -1..1, `"torch"` for RGB less ImageNet's mean over its standard
            deviation, `"caffe"` for BGR less ImageNet's mean.

    Input and output shape: `(batch, height, width, channels)`; `"torch"` and `"caffe"` need
    three channels.

    Raises:
        ValueError: If the mode is unknown or the number of channels does not fit.

    Example:

    ```python
    layer = mtlkeras.layers.ImagePreprocessing("tf")
    layer(np.full((1, 1, 1, 3), 255))  # [[[[1., 1., 1.]]]]
    ```
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        # Without autocast: pixels such as 255 - 103.939 lose digits in half precision.
        super().__init__(autocast=False, **kwargs)
        self.mode = mode
        check_choice(self, "mode", MODES)

    def build(self, input_shape: Shape) -> None:
        if self.mode != "tf" and input_shape[-1] != 3:
            raise ValueError(
                f"ImagePreprocessing({self.mode!r}) needs images of 3 channels; received {input_shape[-1]}."
            )

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.cast(inputs, "float32")
        if self.mode == "tf":
            x = x / 127.5 - 1.0
        elif self.mode == "torch":
            x = (x / 255.0 - ops.convert_to_tensor(_TORCH_MEAN)) / ops.convert_to_tensor(_TORCH_SCALE)
        else:
            x = ops.flip(x, axis=-1) - ops.convert_to_tensor(_CAFFE_MEAN)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "mode": self.mode}


@keras.saving.register_keras_serializable("mtlkeras")
class CategoryIndex(keras.layers.Layer):
    """Moves category codes 0..size-1 to 1..size, and every other code to 0, for unknown.

    An embedding after it has a row for the unknown, so that a code never seen before is
    neither an error nor taken for another.

    Args:
        size: Number of known categories.

    Input: whole numbers of any shape. Output: int32 of the same shape.

    Example:

    ```python
    mtlkeras.layers.CategoryIndex(3)(np.array([0, 2, 3, -1]))  # [1, 3, 0, 0]
    ```
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Tensor) -> Tensor:
        codes = ops.cast(inputs, "int32")
        in_range = ops.logical_and(codes >= 0, codes < self.size)
        return ops.where(in_range, codes + 1, ops.zeros_like(codes))

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
