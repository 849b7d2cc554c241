"""DPCNN."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.layers.pooling import AttentionPooling, MaskedMax, MaskedMean
from mtlkeras.layers.sequence_mask import MaskedMaxPooling1D, MaskSteps
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import dropped, penalty
from mtlkeras.trunks._text import TextTrunk
from mtlkeras.trunks.stages import POOLED_MASK, Flow, Stage

_POOLINGS = {"max": MaskedMax, "mean": MaskedMean, "attention": AttentionPooling}


@spec
class DPCNN(TextTrunk):
    """The deep pyramid convolutional network for text.

    Johnson and Zhang 2017, Deep Pyramid Convolutional Neural Networks for Text Categorization:
    a region embedding (a convolution of three tokens, section 2.1), then blocks of two
    convolutions with activation before each (section 2.2) and a shortcut around both; between
    blocks, pooling of three steps with stride two halves the time and the work (Figure 1a), so
    that all blocks together cost about as two. At the end what is left is pooled.
    What the input may be, how tokens are embedded and the fields that all text trunks have are
    described in `mtlkeras.trunks.TextTrunk`.

    Args:
        width: Number of feature maps, the same in all layers; the paper's is 250.
        depth: Number of blocks; the paper's network of 15 weight layers has 7.
        pooling: How what is left of the text becomes the vector: its `"max"` as in the paper, its `"mean"`,
            or a mean weighted by `"attention"`, from which words of rare labels learn sooner: through a
            maximum only one step of each feature does.

    Padding belongs after the end of a text: before it, it would move the windows of the pooling.
    `dropout` is that of the embeddings and, as in the paper, of the vector.

    Gives `vector` of shape `(batch, width)` and the taps `embedding`, `region` and `block_1`, which
    have all steps of the input: a tagging head can read them by `at="block_1"`.

    Raises:
        ValueError: If a field does not fit, or the input is none of tokens.

    Example:

    ```python
    trunk = mtlkeras.trunks.DPCNN(width=64, depth=3, vocabulary_size=1000)
    trunk(keras.Input((None,), dtype="int32")).vector.shape  # (None, 64)
    ```
    """

    gives: ClassVar = ("vector",)

    width: int = tunable(250, 64, 128, 250, 350)
    depth: int = tunable(4, 1, 2, 3, 4, 5, 6, 7)
    pooling: str = tunable("max", "max", "mean", "attention")

    def validate(self) -> None:
        super().validate()
        check_positive(self, "width")
        check_positive(self, "depth")
        check_choice(self, "pooling", tuple(_POOLINGS))

    def stages(self, flow: Flow) -> list[Stage]:
        names = [f"block_{number}" for number in range(1, self.depth + 1)]
        return [
            Stage("embedding", self._embedding),
            Stage("region", self._region),
            *(Stage(name, partial(self._block, name)) for name in names),
        ]

    def end(self, flow: Flow) -> Features:
        pooling = _POOLINGS[self.pooling](name=f"{self.pooling}_pool")
        vector = dropped(self, pooling(flow.x, mask=flow.beside[POOLED_MASK]), "vector_dropout")
        taps = {name: flow.taps[name] for name in ("embedding", "region", "block_1")}
        return Features(vector=vector, mask=flow.beside["mask"], taps=taps, source=self)

    def _region(self, flow: Flow) -> Flow:
        mask = flow.beside["mask"]
        return flow.to(self._convolution(flow.x, mask, "region"), beside={POOLED_MASK: mask})

    def _block(self, name: str, flow: Flow) -> Flow:
        x, mask = flow.x, flow.beside[POOLED_MASK]
        if name != "block_1":
            x, mask = MaskedMaxPooling1D(3, 2, name=f"{name}_pool")([x, mask])
        new = x
        for place in "ab":
            new = keras.layers.ReLU(name=f"{name}{place}_relu")(new)
            new = self._convolution(new, mask, f"{name}{place}")
        return flow.to(keras.layers.Add(name=f"{name}_add")([x, new]), beside={POOLED_MASK: mask})

    def _convolution(self, x: Tensor, mask: Tensor, name: str) -> Any:
        x = MaskSteps(name=f"{name}_mask")(x, mask=mask)
        return keras.layers.Conv1D(
            self.width,
            3,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=penalty(self),
            name=name,
        )(x)
