"""Decoders: from the maps of a trunk's taps to one map for the scores of pixels, by name."""

from __future__ import annotations

from collections.abc import Callable

from mtlkeras._types import Tensor
from mtlkeras.heads._decoders.fpn import fpn
from mtlkeras.heads._decoders.linear import linear
from mtlkeras.heads._decoders.parts import Parts
from mtlkeras.heads._decoders.unet import unet

DECODERS: dict[str, Callable[[Parts, list[tuple[str, Tensor]]], Tensor]] = {
    "fpn": fpn,
    "unet": unet,
    "linear": linear,
}
"""Each takes the `Parts` of a head and the maps by tap, from shallow to deep; it gives one map."""
