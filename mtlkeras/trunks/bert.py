"""BERT."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import keras

from mtlkeras._fields import check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.layers.self_attention import SelfAttention
from mtlkeras.layers.special_tokens import AddSpecialTokens, WithoutSpecialTokens
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import dropped, penalty
from mtlkeras.trunks._text import TokenTrunk
from mtlkeras.trunks.stages import Flow, Stage

_EPSILON = 1e-12
_SEGMENTS = ("segment_a", "segment_b")
_FIRST_DEVIATION = 0.02  # Standard deviation of the weights before training, as in the code of the paper.


@spec
class BERT(TokenTrunk):
    """The encoder of BERT: layers of self-attention over all tokens.

    Devlin et al. 2019, BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding, sections 3 and A.2, after Vaswani et al. 2017: learned positions and segments,
    normalisation after each shortcut, GELU. The defaults are BERT-base.

    The input is as for `mtlkeras.trunks.TokenTrunk`, or a dict of two such inputs for a pair of
    sentences, which are then segment A and segment B in the order of the dict. The marks `[CLS]`
    and `[SEP]` are put in by the trunk itself and left out of `sequence`, so that tags stay
    aligned with the tokens; a pair's `sequence` has the tokens of both, one after the other.
    The ids after the vocabulary's are `[CLS]`, `[SEP]` and `[MASK]` (`mask_id`).

    Args:
        depth: Number of layers.
        width: Number of features of each token.
        heads: Number of attention heads of each layer; a divisor of `width`.
        intermediate: Units of the hidden layer behind each attention; `None` for `4 * width`.
        max_length: Largest number of tokens, marks included.

    Gives `vector` of shape `(batch, width)` (a dense layer with tanh on `[CLS]`), `sequence` of
    shape `(batch, time, width)` with its mask, and the taps `embedding`, `block_1`, `block_2`, ...
    `mtlkeras.heads.MaskedToken` and `mtlkeras.heads.NextSentence` are the tasks of pre-training.

    Raises:
        ValueError: If a field does not fit, or the input is none of tokens. A text that is too
            long is an error when the model is called.

    Example:

    ```python
    trunk = mtlkeras.trunks.BERT(depth=2, width=64, heads=2, vocabulary_size=1000)
    trunk(keras.Input((None,), dtype="int32")).vector.shape  # (None, 64)
    trunk.mask_id  # 1002
    ```
    """

    depth: int = tunable(12, 2, 4, 6, 12)
    width: int = tunable(768, 192, 384, 768)
    heads: int = tunable(12, 3, 6, 12)
    _: dataclasses.KW_ONLY
    intermediate: int | None = None
    max_length: int = 512
    dropout: float = tunable(0.1, 0.0, 0.1, 0.2, 0.3)

    def validate(self) -> None:
        super().validate()
        for field in ("depth", "width", "heads", "max_length"):
            check_positive(self, field)
        if self.intermediate is not None:
            check_positive(self, "intermediate")
        if self.width % self.heads:
            raise ValueError(
                f"BERT: width must be a multiple of heads; received {self.width} and {self.heads}."
            )
        if self.encoder is not None and self.encoder.columns > 1:
            raise ValueError("BERT embeds tokens by their ids alone; the encoder has casings or an alphabet.")

    @property
    def start_id(self) -> int:
        """Id of `[CLS]`."""
        return self._size

    @property
    def end_id(self) -> int:
        """Id of `[SEP]`."""
        return self._size + 1

    @property
    def mask_id(self) -> int:
        """Id of `[MASK]`, which hides a token from the model."""
        return self._size + 2

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the marked ids with their positions and segments; beside them are mask and segments."""
        segments = self._segments(inputs)
        marked = dict(
            AddSpecialTokens(self.start_id, self.end_id, self.max_length, name="special_tokens")(segments)
        )
        mask = marked.pop("mask")
        return Flow(marked, beside={"mask": mask, **dict(zip(_SEGMENTS, segments, strict=False))})

    def stages(self, flow: Flow) -> list[Stage]:
        names = [f"block_{number}" for number in range(1, self.depth + 1)]
        return [
            Stage("embedding", self._embedding),
            *(Stage(name, partial(self._block, name)) for name in names),
        ]

    def end(self, flow: Flow) -> Features:
        segments = [flow.beside[name] for name in _SEGMENTS if name in flow.beside]
        vector = self._dense(self.width, "pooler", "tanh")(flow.x[:, 0])
        own = {
            name: WithoutSpecialTokens(name=f"{name}_tokens")([value, *segments])
            for name, value in {**flow.taps, "mask": flow.beside["mask"]}.items()
        }
        mask = own.pop("mask")
        return Features(
            vector=dropped(self, vector, "vector_dropout"),
            sequence=own[f"block_{self.depth}"],
            mask=mask,
            taps=own,
            source=self,
        )

    def _segments(self, inputs: Any) -> list[Any]:
        flat = list(inputs.values()) if isinstance(inputs, dict) else keras.tree.flatten(inputs)
        if len(flat) not in (1, 2):
            raise ValueError(f"BERT takes one or two inputs of texts, tokens or ids; received {len(flat)}.")
        names = ["encode_text"] if len(flat) == 1 else ["encode_first", "encode_second"]
        return [self._ids_of(x, name) for x, name in zip(flat, names, strict=True)]

    def _embedding(self, flow: Flow) -> Flow:
        sizes = {"ids": self.mask_id + 1, "positions": self.max_length, "segments": 2}
        names = {"ids": "token", "positions": "position", "segments": "segment"}
        parts = [
            keras.layers.Embedding(
                size, self.width, embeddings_initializer=_initializer(), name=f"{names[key]}_embedding"
            )(flow.x[key])
            for key, size in sizes.items()
        ]
        x = keras.layers.Add(name="embedding_add")(parts)
        x = keras.layers.LayerNormalization(epsilon=_EPSILON, name="embedding_norm")(x)
        return flow.to(dropped(self, x, "embedding_dropout"))

    def _block(self, name: str, flow: Flow) -> Flow:
        x = SelfAttention(
            self.heads,
            dropout=self.dropout,
            kernel_regularizer=penalty(self),
            kernel_initializer=_initializer(),
            epsilon=_EPSILON,
            name=f"{name}_attention",
        )(flow.x, mask=flow.beside["mask"])
        new = self._dense(self.intermediate or 4 * self.width, f"{name}_hidden", "gelu")(x)
        new = dropped(self, self._dense(self.width, f"{name}_output", None)(new), f"{name}_dropout")
        x = keras.layers.Add(name=f"{name}_add")([x, new])
        return flow.to(keras.layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm")(x))

    def _dense(self, units: int, name: str, activation: str | None) -> Any:
        return keras.layers.Dense(
            units,
            activation,
            kernel_initializer=_initializer(),
            kernel_regularizer=penalty(self),
            name=name,
        )


def _initializer() -> Any:
    return keras.initializers.TruncatedNormal(stddev=_FIRST_DEVIATION)
