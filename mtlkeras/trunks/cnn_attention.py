"""CNNAttention."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import keras

from mtlkeras._fields import check_positive
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.layers.pooling import AttentionPooling
from mtlkeras.layers.self_attention import SelfAttention
from mtlkeras.layers.sequence_mask import MaskSteps
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import penalty
from mtlkeras.trunks._text import TextTrunk
from mtlkeras.trunks.stages import Flow, Stage


@spec
class CNNAttention(TextTrunk):
    """Convolutions over embedded tokens, then self-attention between them.

    The convolutions see a few neighbouring tokens (Kim 2014), the attention (Vaswani et al. 2017,
    section 3.2) all tokens of the sentence; the vector is a mean of the tokens weighted by
    attention (Lin et al. 2017). Only what goes into the attention is normalised: a token that says
    little must be able to stay small, or trained from scratch its noise counts as much as the
    words that matter. `mtlkeras.analysis.attention_weights` gives the weights of all.
    What the input may be, how tokens are embedded and the fields that all text trunks have are
    described in `mtlkeras.trunks.TextTrunk`.

    Args:
        width: Number of features of each token.
        depth: Number of convolutions, each but the first with a shortcut around it.
        kernel_size: How many tokens a convolution sees; odd.
        attention_depth: Number of layers of self-attention.
        heads: Number of attention heads of each; a divisor of `width`.

    Gives `sequence` of shape `(batch, time, width)` with its mask, `vector` of shape
    `(batch, width)`, and the taps `embedding`, `conv_1`, ..., `attention_1`, ...

    Raises:
        ValueError: If a field does not fit, or the input is none of tokens.

    Example:

    ```python
    trunk = mtlkeras.trunks.CNNAttention(width=64, vocabulary_size=1000)
    trunk(keras.Input((None,), dtype="int32")).vector.shape  # (None, 64)
    ```
    """

    width: int = tunable(256, 64, 128, 256, 384)
    depth: int = tunable(2, 1, 2, 3, 4)
    _: dataclasses.KW_ONLY
    kernel_size: int = tunable(3, 3, 5)
    attention_depth: int = tunable(1, 1, 2)
    heads: int = tunable(4, 1, 2, 4, 8)

    def validate(self) -> None:
        super().validate()
        for field in ("width", "depth", "kernel_size", "attention_depth", "heads"):
            check_positive(self, field)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"CNNAttention: kernel_size must be odd; received {self.kernel_size}.")
        if self.width % self.heads:
            raise ValueError(
                f"CNNAttention: width must be a multiple of heads; received {self.width} and {self.heads}."
            )

    def stages(self, flow: Flow) -> list[Stage]:
        attentions = [f"attention_{number}" for number in range(1, self.attention_depth + 1)]
        return [
            Stage("embedding", self._embedding),
            *(Stage(f"conv_{number}", partial(self._conv, number)) for number in range(1, self.depth + 1)),
            *(Stage(name, partial(self._attention, name)) for name in attentions),
        ]

    def end(self, flow: Flow) -> Features:
        x, mask = flow.x, flow.beside["mask"]
        vector = AttentionPooling(name="attention_pool")(x, mask=mask)
        return Features(vector=vector, sequence=x, mask=mask, taps=flow.taps, source=self)

    def _conv(self, number: int, flow: Flow) -> Flow:
        name = f"conv_{number}"
        new = self._dropped(self._convolution(flow.x, flow.beside["mask"], name), f"{name}_dropout")
        return flow.to(new if number == 1 else keras.layers.Add(name=f"{name}_add")([flow.x, new]))

    def _attention(self, name: str, flow: Flow) -> Flow:
        layer = SelfAttention(
            self.heads,
            dropout=self.dropout,
            kernel_regularizer=penalty(self),
            normalize_first=True,
            name=name,
        )
        return flow.to(layer(flow.x, mask=flow.beside["mask"]))

    def _convolution(self, x: Tensor, mask: Tensor, name: str) -> Any:
        x = MaskSteps(name=f"{name}_mask")(x, mask=mask)
        return keras.layers.Conv1D(
            self.width,
            self.kernel_size,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=penalty(self),
            name=name,
        )(x)
