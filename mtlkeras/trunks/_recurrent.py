"""What the recurrent trunks have in common."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.layers.pooling import AttentionPooling, LastState, MaskedMax, MaskedMean
from mtlkeras.specs import tunable
from mtlkeras.trunks._blocks import penalty
from mtlkeras.trunks._text import TextTrunk
from mtlkeras.trunks.stages import Flow, Stage

_POOLINGS = ("last", "max", "mean", "attention")


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class RecurrentTrunk(TextTrunk):
    """Layers of LSTM over embedded tokens.

    Its defaults were chosen on the validation splits of five data sets: `benchmarks/text_defaults.py`.
    """

    bidirectional: ClassVar[bool] = False

    recurrent_dropout: float = 0.0
    pooling: str = tunable("attention", "attention", "max", "mean", "last")
    normalization: str | None = "layer"
    shortcut: bool = True

    def validate(self) -> None:
        super().validate()
        check_positive(self, "depth")
        check_positive(self, "units")
        check_choice(self, "pooling", _POOLINGS)
        check_choice(self, "normalization", ("layer", None))
        if not 0 <= self.recurrent_dropout < 1:
            raise ValueError(
                f"{type(self).__name__}: recurrent_dropout must be in [0, 1); "
                f"received {self.recurrent_dropout!r}."
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RecurrentTrunk:
        # What was saved before these fields were there.
        return super().from_config({"normalization": None, "shortcut": False, **config})

    def stages(self, flow: Flow) -> list[Stage]:
        names = [f"lstm_{number}" for number in range(1, self.depth + 1)]  # type: ignore[attr-defined]
        return [
            Stage("embedding", self._embedding),
            *(Stage(name, partial(self._recurrent, name)) for name in names),
        ]

    def end(self, flow: Flow) -> Features:
        x, mask = flow.x, flow.beside["mask"]
        vector = self._pooled(self._normalized(x), mask)
        if self.shortcut:
            x = keras.layers.Concatenate(name="beside_embedding")([flow.taps["embedding"], x])
        return Features(vector=vector, sequence=x, mask=mask, taps=flow.taps, source=self)

    def _normalized(self, x: Tensor) -> Any:
        return x if self.normalization is None else keras.layers.LayerNormalization(name="pool_norm")(x)

    def _recurrent(self, name: str, flow: Flow) -> Flow:
        states = self._layer(name)(flow.x, mask=flow.beside["mask"])
        return flow.to(self._dropped(states, f"{name}_dropout"))

    def _layer(self, name: str) -> Any:
        layer = keras.layers.LSTM(
            self.units,  # type: ignore[attr-defined]
            return_sequences=True,
            recurrent_dropout=self.recurrent_dropout,
            kernel_regularizer=penalty(self),
            recurrent_regularizer=penalty(self),
            seed=self.seed,
            name=name,
        )
        return keras.layers.Bidirectional(layer, name=name) if self.bidirectional else layer

    def _pooled(self, x: Tensor, mask: Tensor) -> Any:
        layers = {
            "last": LastState(self.bidirectional, name="last_state"),
            "max": MaskedMax(name="max_pool"),
            "mean": MaskedMean(name="mean_pool"),
            "attention": AttentionPooling(name="attention_pool"),
        }
        return layers[self.pooling](x, mask=mask)
