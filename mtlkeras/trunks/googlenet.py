"""GoogLeNet."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import keras

from mtlkeras._fields import check_choice
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.layers.local_response import LocalResponseNormalization
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import conv, dropped, max_pool
from mtlkeras.trunks._source import source_of
from mtlkeras.trunks.image import ImageTrunk
from mtlkeras.trunks.stages import Flow, Stage

# Table 1: channels of 1x1; 3x3 reduction, 3x3; 5x5 reduction, 5x5; pooling's projection.
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOLED_BEFORE = {"4a": "pool_3", "5a": "pool_4"}
_MINIMUM = {"imagenet": 32, "small": 8}


@spec
class GoogLeNet(ImageTrunk):
    """Nine inception modules on a convolutional stem, 22 weight layers with the classifier.

    The defaults are the paper's network: biases, local response normalisation in the stem, and
    dropout of 40% before the classifier. It is slow to train from nothing without batch
    normalisation; `GoogLeNet(normalization="batch")` is the practical choice, and with
    `branch_kernel=3` it is the network that torchvision offers.

    The auxiliary classifiers are not part of the trunk. They are heads on its taps:
    `Classification(1000, at="inception_4a")` and `at="inception_4d"`.

    The paper's stem (`"imagenet"`) starts with a 7x7 convolution of stride 2 and a pooling. The
    small stem starts with a 3x3 convolution of stride 1 without one, and a later pooling is
    left out where its map is under 4 pixels. All poolings are padded.

    Args:
        branch_kernel: Side of the kernel of the third branch of an inception module: 5 as in
            the paper, or 3 as in torchvision.
        width: Channels of the first convolution; `None` for 64. All others scale with it.
        normalization: `"local"` for the paper's local response normalisation, or `"batch"`,
            `"group"`, `"layer"` after each convolution, or `None`.
        dropout: Rate of dropout on the vector.
        l1: As for every image trunk, like `l2`, `use_bias` and `stem`.

    Gives `vector` of shape `(batch, 16 * width)`, `map` (the last module) of shape
    `(batch, height, width, 16 * width)`, and the taps `stem`, `inception_3a` to
    `inception_5b`.

    Raises:
        ValueError: If the images are under 32 pixels with the paper's stem or under 8 with the
            small one; or if a field does not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.GoogLeNet(width=32, normalization="batch")
    trunk(keras.Input((28, 28, 1))).vector.shape  # (None, 512)
    ```

    Reference: Szegedy, Liu, Jia et al. 2015, Going Deeper with Convolutions.
    """

    normalizations: ClassVar = ("local", "batch", "batch_per_source", "group", "layer", None)

    _: dataclasses.KW_ONLY
    branch_kernel: int = 5
    dropout: float = tunable(0.4, 0.0, 0.2, 0.4)
    normalization: str | None = tunable("local", "local", "batch", "group")

    def validate(self) -> None:
        super().validate()
        check_choice(self, "branch_kernel", (3, 5))

    def minimum_size(self, stem: str) -> int:
        return _MINIMUM[stem]

    def stages(self, flow: Flow) -> list[Stage]:
        stem = self._stem_of(flow)
        modules = [
            Stage(f"inception_{module}", partial(self._module, module, stem)) for module in _INCEPTIONS
        ]
        return [Stage("stem", partial(self._stem, stem)), *modules]

    def end(self, flow: Flow) -> Features:
        vector = keras.layers.GlobalAveragePooling2D(name="global_pool")(flow.x)
        return Features(vector=dropped(self, vector, "dropout"), map=flow.x, taps=flow.taps, source=self)

    def _module(self, module: str, stem: str, flow: Flow) -> Flow:
        x = max_pool(flow.x, _POOLED_BEFORE[module], stem) if module in _POOLED_BEFORE else flow.x
        channels = [self._channels(c) for c in _INCEPTIONS[module]]
        return flow.to(self._inception(x, channels, f"inception_{module}", source_of(flow)))

    def _stem(self, stem: str, flow: Flow) -> Flow:
        apply = partial(conv, self, source=source_of(flow))
        x = flow.x
        if stem == "imagenet":
            x = apply(x, self._channels(64), 7, "conv_1", strides=2)
            x = max_pool(x, "pool_1", stem)
        else:
            x = apply(x, self._channels(64), 3, "conv_1")
        x = self._local_norm(x, "norm_1")
        x = apply(x, self._channels(64), 1, "conv_2_reduce")
        x = apply(x, self._channels(192), 3, "conv_2")
        return flow.to(max_pool(self._local_norm(x, "norm_2"), "pool_2", stem))

    def _local_norm(self, x: Tensor, name: str) -> Any:
        return LocalResponseNormalization(name=name)(x) if self.normalization == "local" else x

    def _inception(self, x: Tensor, channels: list[int], name: str, source: Tensor | None) -> Any:
        apply = partial(conv, self, source=source)
        one, reduce_3, three, reduce_5, five, projection = channels
        pooled = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_branch_4_max_pool")(x)
        inner_3 = apply(x, reduce_3, 1, f"{name}_branch_2_reduce")
        inner_5 = apply(x, reduce_5, 1, f"{name}_branch_3_reduce")
        branches = [
            apply(x, one, 1, f"{name}_branch_1"),
            apply(inner_3, three, 3, f"{name}_branch_2"),
            apply(inner_5, five, self.branch_kernel, f"{name}_branch_3"),
            apply(pooled, projection, 1, f"{name}_branch_4"),
        ]
        return keras.layers.Concatenate(name=name)(branches)

    def _channels(self, paper: int) -> int:
        return max(1, round(paper * (self.width or 64) / 64))
