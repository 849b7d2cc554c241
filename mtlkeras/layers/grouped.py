"""Convolution in separate groups of channels."""

from __future__ import annotations

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class GroupedConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` with `groups`, computed as one convolution per group.

    The arguments, weights and outputs are those of `keras.layers.Conv2D`. TensorFlow computes
    the gradient of a grouped convolution on a CPU several times more slowly than this.

    Example:

    ```python
    layer = mtlkeras.layers.GroupedConv2D(8, 3, groups=2)
    layer(np.ones((1, 6, 6, 4))).shape  # (1, 4, 4, 8)
    ```
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        maps = ops.split(inputs, self.groups, axis=-1)
        kernels = ops.split(kernel, self.groups, axis=-1)
        outputs = [
            ops.conv(x, k, strides=list(self.strides), padding=self.padding, data_format=self.data_format)
            for x, k in zip(maps, kernels, strict=True)
        ]
        return ops.concatenate(outputs, axis=-1)
