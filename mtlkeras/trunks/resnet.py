"""ResNet."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import keras

from mtlkeras._fields import check_choice
from mtlkeras.features import Features
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import conv, dropped, max_pool
from mtlkeras.trunks._source import source_of
from mtlkeras.trunks.image import ImageTrunk
from mtlkeras.trunks.stages import Flow, Stage

# Blocks of the four stages of table 1, by depth.
_IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_BOTTLENECK_FROM = 50


@spec
class ResNet(ImageTrunk):
    """Residual blocks in stages, each at half the size and twice the width of the one before.

    Depths 18, 34, 50, 101 and 152 are the paper's ImageNet networks: four stages from 64
    channels, bottleneck blocks from 50 on. Depths 6n + 2 (8, 14, 20, 26, 32, 44, 56, 110) are
    its CIFAR networks of section 4.2: three stages from 16 channels of n basic blocks each.

    The ImageNet stem (`"imagenet"`) is a 7x7 convolution of stride 2 and a 3x3 pooling of stride
    2; the small stem is a 3x3 convolution of stride 1. The CIFAR networks' own stem is the small
    one, which `stem="auto"` gives them at any size.

    Args:
        depth: Number of weight layers with the classifier.
        width: Channels of the first stage; `None` for 64 in the ImageNet networks and 16 in the
            CIFAR networks.
        shortcut: What a shortcut does where the shape changes: `"projection"` (a 1x1
            convolution, option B), `"padding"` (every second pixel, and channels of zeros,
            option A), or `"auto"` for the paper's: projection in ImageNet networks, padding in
            CIFAR networks.
        zero_last_gamma: Whether the last normalisation of each block starts with a scale of
            zero, so that the block starts as its shortcut (Goyal et al. 2017).
        normalization: `"batch"`, `"batch_per_source"`, `"group"`, `"layer"` or `None`.
        dropout: Rate of dropout on the vector.
        l1: As for every image trunk, like `l2`, `use_bias` and `stem`.

    Gives `vector` of shape `(batch, channels)`, `map` (the last stage) of shape
    `(batch, height, width, channels)`, and the taps `stem`, `stage_1`, ... A stage of basic
    blocks has `width * 2 ** (stage - 1)` channels, one of bottleneck blocks four times as many.

    Raises:
        ValueError: If a side of the image is shorter than the product of the strides (32 for an
            ImageNet network, 8 with the small stem, 4 for a CIFAR network); or if a field does
            not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.ResNet(depth=20, l2=1e-4)
    trunk(keras.Input((28, 28, 1))).vector.shape  # (None, 64)
    ```

    Reference: He, Zhang, Ren and Sun 2015, Deep Residual Learning for Image Recognition.
    """

    depth: int = tunable(18, 8, 14, 18, 20, 34, 50)
    _: dataclasses.KW_ONLY
    shortcut: str = "auto"
    zero_last_gamma: bool = False

    def validate(self) -> None:
        super().validate()
        check_choice(self, "shortcut", ("auto", "projection", "padding"))
        cifar = isinstance(self.depth, int) and self.depth >= 8 and self.depth % 6 == 2
        if not cifar and self.depth not in _IMAGENET:
            raise ValueError(
                f"ResNet: depth must be one of {', '.join(map(str, _IMAGENET))}, or 6n + 2 such as 8 or 20; "
                f"received {self.depth!r}."
            )

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks in each stage."""
        return _IMAGENET.get(self.depth) or ((self.depth - 2) // 6,) * 3

    def stem_for(self, height: int | None, width: int | None) -> str:
        if self.stem == "auto" and self.depth not in _IMAGENET:
            return "small"
        return super().stem_for(height, width)

    def minimum_size(self, stem: str) -> int:
        return (4 if stem == "imagenet" else 1) * 2 ** (len(self.blocks) - 1)

    def _remedies(self, side: float) -> list[str]:
        fits_cifar = self.depth in _IMAGENET and side >= ResNet(depth=8).minimum_size("small")
        return [*super()._remedies(side), *(["use a CIFAR network such as depth=20"] if fits_cifar else [])]

    def stages(self, flow: Flow) -> list[Stage]:
        stem = Stage("stem", partial(self._stem, self._stem_of(flow)))
        numbers = range(1, len(self.blocks) + 1)
        return [stem, *(Stage(f"stage_{stage}", partial(self._stage, stage)) for stage in numbers)]

    def end(self, flow: Flow) -> Features:
        vector = keras.layers.GlobalAveragePooling2D(name="global_pool")(flow.x)
        return Features(vector=dropped(self, vector, "dropout"), map=flow.x, taps=flow.taps, source=self)

    @property
    def _width(self) -> int:
        return self.width or (64 if self.depth in _IMAGENET else 16)

    @property
    def _bottleneck(self) -> bool:
        return self.depth in _IMAGENET and self.depth >= _BOTTLENECK_FROM

    def _stem(self, stem: str, flow: Flow) -> Flow:
        if stem == "small":
            return flow.to(conv(self, flow.x, self._width, 3, "stem_conv", source=source_of(flow)))
        x = conv(self, flow.x, self._width, 7, "stem_conv", strides=2, source=source_of(flow))
        return flow.to(max_pool(x, "stem_max_pool", stem))

    def _stage(self, stage: int, flow: Flow) -> Flow:
        filters = self._width * 2 ** (stage - 1)
        for block in range(1, self.blocks[stage - 1] + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            # What a deep stage computes again, it does block by block.
            flow = flow.to(self._block(flow, filters, strides, f"stage_{stage}_block_{block}")).cut()
        return flow

    def _block(self, flow: Flow, filters: int, strides: int, name: str) -> Any:
        x, apply = flow.x, partial(conv, self, source=source_of(flow))
        gamma = "zeros" if self.zero_last_gamma else "ones"
        if self._bottleneck:
            # The stride is on the first 1x1 convolution, as in the paper.
            y = apply(x, filters, 1, f"{name}_conv_1", strides)
            y = apply(y, filters, 3, f"{name}_conv_2")
            y = apply(y, 4 * filters, 1, f"{name}_conv_3", relu=False, gamma=gamma)
        else:
            y = apply(x, filters, 3, f"{name}_conv_1", strides)
            y = apply(y, filters, 3, f"{name}_conv_2", relu=False, gamma=gamma)
        y = keras.layers.Add(name=f"{name}_add")([self._shortcut(flow, y.shape[-1], strides, name), y])
        return keras.layers.ReLU(name=f"{name}_out")(y)

    def _shortcut(self, flow: Flow, channels: int, strides: int, name: str) -> Any:
        x = flow.x
        if strides == 1 and x.shape[-1] == channels:
            return x
        padding = "padding" if self.depth not in _IMAGENET else "projection"
        if (padding if self.shortcut == "auto" else self.shortcut) == "projection":
            return conv(self, x, channels, 1, f"{name}_shortcut", strides, relu=False, source=source_of(flow))
        if strides > 1:
            x = keras.layers.MaxPooling2D(1, strides=strides, name=f"{name}_shortcut_stride")(x)
        extra = ((0, 0), (0, channels - x.shape[-1]))
        # Read as channels first, the last axis is one of the two that the layer pads.
        return keras.layers.ZeroPadding2D(
            extra, data_format="channels_first", name=f"{name}_shortcut_padding"
        )(x)
