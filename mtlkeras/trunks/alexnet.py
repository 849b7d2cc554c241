"""AlexNet."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.layers.local_response import LocalResponseNormalization
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import conv, fully_connected, max_pool
from mtlkeras.trunks._source import source_of
from mtlkeras.trunks.image import ImageTrunk
from mtlkeras.trunks.stages import Flow, Stage

# Channels of the five convolutions by number of towers.
_CHANNELS = {1: (64, 192, 384, 256, 256), 2: (96, 256, 384, 384, 256)}
_KERNELS = (11, 5, 3, 3, 3)
_NORMALIZED = (1, 2)
_POOLED = (1, 2, 5)
_MINIMUM = {"imagenet": 63, "small": 8}


@spec
class AlexNet(ImageTrunk):
    """Five convolutions, three poolings and two fully connected layers.

    The defaults are the paper's network: two towers (convolutions 2, 4 and 5 in two groups
    of channels), local response normalisation after the first two convolutions, dropout
    after both fully connected layers.

    The paper's stem (`"imagenet"`) is an 11x11 convolution of stride 4; the poolings are 3x3
    of stride 2 without padding. The small stem starts with a 5x5 convolution of stride 1, its
    poolings are padded, and a pooling is left out where its map is under 4 pixels.

    Args:
        fc_units: Units of each of the two fully connected layers.
        towers: 2 for the 2012 paper's grouped convolutions, 1 for the network of Krizhevsky
            2014 (One weird trick for parallelizing convolutional neural networks).
        width: Channels of the first convolution; `None` for 96 with two towers, 64 with one.
        normalization: `"local"` for the paper's local response normalisation, or `"batch"`,
            `"group"`, `"layer"` after each convolution, or `None`.
        dropout: Rate of dropout after each of the two fully connected layers.
        l1: As for every image trunk, like `l2`, `use_bias` and `stem`.

    Gives `vector` of shape `(batch, fc_units)`, `map` (the last pooling) of shape
    `(batch, height, width, channels)`, and the taps `conv_1` to `conv_5`, `fc_1`, `fc_2`.

    Raises:
        ValueError: If the images are under 63 pixels with the paper's stem, under 8 with the
            small one, or of unknown size; or if a field does not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.AlexNet(width=32, fc_units=256)
    trunk(keras.Input((28, 28, 1))).vector.shape  # (None, 256)
    ```

    Reference: Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification with Deep
    Convolutional Neural Networks.
    """

    normalizations: ClassVar = ("local", "batch", "batch_per_source", "group", "layer", None)

    _: dataclasses.KW_ONLY
    fc_units: int = tunable(4096, 256, 1024, 4096)
    towers: int = 2
    dropout: float = tunable(0.5, 0.0, 0.25, 0.5)
    normalization: str | None = tunable("local", "local", "batch", "group")

    def validate(self) -> None:
        super().validate()
        check_positive(self, "fc_units")
        check_choice(self, "towers", (1, 2))

    def minimum_size(self, stem: str) -> int:
        return _MINIMUM[stem]

    def stages(self, flow: Flow) -> list[Stage]:
        stem = self._stem_of(flow)
        convolutions = [Stage(f"conv_{number}", partial(self._stage, number, stem)) for number in range(1, 6)]
        return [*convolutions, *fully_connected(self, partial(self._pooled, 5, stem))]

    def end(self, flow: Flow) -> Features:
        return Features(vector=flow.x, map=flow.beside["map"], taps=flow.taps, source=self)

    def _stage(self, number: int, stem: str, flow: Flow) -> Flow:
        return flow.to(self._conv(self._pooled(number - 1, stem, flow.x), number, stem, source_of(flow)))

    def _pooled(self, number: int, stem: str, x: Tensor) -> Any:
        """Normalises and pools what a convolution gave, where the paper does."""
        if self.normalization == "local" and number in _NORMALIZED:
            x = LocalResponseNormalization(name=f"norm_{number}")(x)
        if number in _POOLED:
            x = max_pool(x, f"pool_{number}", stem, padding="same" if stem == "small" else "valid")
        return x

    def _conv(self, x: Tensor, number: int, stem: str, source: Tensor | None) -> Any:
        groups = self.towers if number in (2, 4, 5) else 1
        kernel, strides, padding = _KERNELS[number - 1], 1, "same"
        if number == 1 and stem == "imagenet":
            # Two pixels of padding give the paper's 55x55 map for 224x224 images.
            x = keras.layers.ZeroPadding2D(2, name="conv_1_padding")(x)
            strides, padding = 4, "valid"
        elif number == 1:
            kernel = 5
        return conv(
            self,
            x,
            self._channels(number),
            kernel,
            f"conv_{number}",
            strides,
            groups,
            padding,
            source=source,
        )

    def _channels(self, number: int) -> int:
        channels = _CHANNELS[self.towers]
        scale = (self.width or channels[0]) / channels[0]
        # Each tower needs a whole number of channels.
        return max(1, round(channels[number - 1] * scale / self.towers)) * self.towers
