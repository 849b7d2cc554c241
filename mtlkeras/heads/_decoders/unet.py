"""The expanding path of Ronneberger, Fischer and Brox 2015 (U-Net, section 2)."""

from __future__ import annotations

from mtlkeras._types import Tensor
from mtlkeras.heads._decoders.parts import Parts


def unet(parts: Parts, maps: list[tuple[str, Tensor]]) -> Tensor:
    """Resizes what is deeper to each map, puts both beside each other, and convolves twice by 3 x 3.

    All levels have the decoder's one width, and maps keep their size, where the paper's lose their border.
    """
    (deepest, tensor), *others = reversed(maps)
    x = parts.conv(3, f"{deepest}_bottom", parts.activation)(tensor)
    for name, tensor in others:
        x = parts.joined([parts.resized(x, tensor, name), tensor], f"{name}_skip")
        for step in (1, 2):
            x = parts.conv(3, f"{name}_conv_{step}", parts.activation)(x)
    return x
