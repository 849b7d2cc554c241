"""The pyramid of Lin et al. 2017 (Feature Pyramid Networks for Object Detection, section 3)."""

from __future__ import annotations

from mtlkeras._types import Tensor
from mtlkeras.heads._decoders.parts import Parts


def fpn(parts: Parts, maps: list[tuple[str, Tensor]]) -> Tensor:
    """Adds the maps up from the deepest to the shallowest, each resized to the next; a 3 x 3 convolution."""
    (deepest, tensor), *others = reversed(maps)
    x = parts.lateral(deepest, tensor)
    for name, tensor in others:
        lateral = parts.lateral(name, tensor)
        x = parts.sum([parts.resized(x, tensor, name), lateral], f"{name}_sum")
    return parts.conv(3, "decoder", parts.activation)(x)
