"""Losses of pixels: cross-entropy, focal loss and Dice loss, float32, from scores."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import Tensor

LOSSES = ("crossentropy", "focal", "dice")


def check_losses(owner: str, kinds: Any) -> None:
    """Raises `ValueError` unless kinds are names of losses, each once and at least one."""
    for kind in kinds:
        if kind not in LOSSES:
            raise unknown_name("loss", kind, LOSSES, f"loss_kind= of {owner}")
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"{owner}: loss_kind must name at least one loss, each once; received {kinds}.")


def dice_loss(shares: Tensor, probabilities: Tensor, known: Tensor) -> Tensor:
    """Returns the Dice loss of each picture, shape `(batch, 1, 1)`.

    1 - (2 sum g p + 1) / (sum g + sum p + 1), of the labels g and probabilities p of a class in the pixels
    that have a label, and of that the mean over the classes. It is 0 for a class that is neither there nor
    seen (Sudre et al. 2017, Generalised Dice overlap as a loss function, section 2, DL; with the 1 in place
    of their epsilon).

    Args:
        shares: Shape `(batch, pixels, classes)`, each 0 or 1.
        probabilities: Likewise, from 0 to 1.
        known: Where there is a label, 0 or 1: `(batch, pixels, 1)`, or a number for each class.
    """
    shares, probabilities = shares * known, probabilities * known
    both = ops.sum(shares * probabilities, axis=1, keepdims=True)
    either = ops.sum(shares + probabilities, axis=1, keepdims=True)
    return 1.0 - ops.mean((2.0 * both + 1.0) / (either + 1.0), axis=-1, keepdims=True)
