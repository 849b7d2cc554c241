"""Linear scores of each map, added up (the skips of Long, Shelhamer and Darrell 2015, section 4.2)."""

from __future__ import annotations

from mtlkeras._types import Tensor
from mtlkeras.heads._decoders.parts import Parts


def linear(parts: Parts, maps: list[tuple[str, Tensor]]) -> Tensor:
    """Resizes a 1 x 1 convolution of each map to the shallowest and adds them up, with no activation."""
    (shallowest, like), *others = maps
    found = [parts.lateral(shallowest, like)]
    found += [parts.resized(parts.lateral(name, tensor), like, name) for name, tensor in others]
    return parts.sum(found, "decoder") if others else found[0]
