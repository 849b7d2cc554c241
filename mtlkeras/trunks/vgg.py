"""VGG."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import conv, fully_connected, max_pool
from mtlkeras.trunks._source import source_of
from mtlkeras.trunks.image import ImageTrunk
from mtlkeras.trunks.stages import Flow, Stage

# Convolutions of the five blocks by depth: configurations A, B, D and E of table 1.
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CHANNELS = (1, 2, 4, 8, 8)
_MINIMUM = {"imagenet": 32, "small": 8}


@spec
class VGG(ImageTrunk):
    """Five blocks of 3x3 convolutions with poolings, and two fully connected layers.

    The defaults are the paper's network of 16 weight layers (the 16th is the classifier).

    With the paper's stem (`"imagenet"`) each block ends with a 2x2 pooling, five in all. With
    the small stem a pooling is left out where its map is under 4 pixels, so that a 28x28 image
    ends as 3x3 and an 8x8 image as 2x2.

    Args:
        depth: Number of weight layers with the classifier: 11, 13, 16 or 19.
        fc_units: Units of each of the two fully connected layers.
        width: Channels of the first block; `None` for 64. The others have 2, 4, 8 and 8 times
            as many.
        normalization: `None` as in the paper, or `"batch"`, `"group"` or `"layer"`.
        dropout: Rate of dropout after each of the two fully connected layers.
        l1: As for every image trunk, like `l2`, `use_bias` and `stem`.

    Gives `vector` of shape `(batch, fc_units)`, `map` (the last block) of shape
    `(batch, height, width, channels)`, and the taps `block_1` to `block_5` (before their
    pooling), `fc_1`, `fc_2`.

    Raises:
        ValueError: If the images are under 32 pixels with the paper's stem, under 8 with the
            small one, or of unknown size; or if a field does not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.VGG(depth=11, width=16, fc_units=128, normalization="batch")
    trunk(keras.Input((32, 32, 3))).map.shape  # (None, 2, 2, 128)
    ```

    Reference: Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale
    Image Recognition.
    """

    depth: int = tunable(16, 11, 13, 16, 19)
    _: dataclasses.KW_ONLY
    fc_units: int = tunable(4096, 256, 1024, 4096)
    dropout: float = tunable(0.5, 0.0, 0.25, 0.5)
    normalization: str | None = tunable(None, None, "batch", "group")

    def validate(self) -> None:
        super().validate()
        check_choice(self, "depth", tuple(_BLOCKS))
        check_positive(self, "fc_units")

    def minimum_size(self, stem: str) -> int:
        return _MINIMUM[stem]

    def stages(self, flow: Flow) -> list[Stage]:
        stem = self._stem_of(flow)
        blocks = [Stage(f"block_{block}", partial(self._block, block, stem)) for block in range(1, 6)]
        return [*blocks, *fully_connected(self, partial(self._pooled, 5, stem))]

    def end(self, flow: Flow) -> Features:
        return Features(vector=flow.x, map=flow.beside["map"], taps=flow.taps, source=self)

    def _block(self, block: int, stem: str, flow: Flow) -> Flow:
        x = self._pooled(block - 1, stem, flow.x)
        for number in range(1, _BLOCKS[self.depth][block - 1] + 1):
            x = conv(
                self, x, self._channels(block), 3, f"block_{block}_conv_{number}", source=source_of(flow)
            )
        return flow.to(x)

    def _pooled(self, block: int, stem: str, x: Tensor) -> Any:
        """Pools what a block gave; before the first is the image."""
        return max_pool(x, f"block_{block}_max_pool", stem, size=2, padding="valid") if block else x

    def _channels(self, block: int) -> int:
        return (self.width or 64) * _CHANNELS[block - 1]
