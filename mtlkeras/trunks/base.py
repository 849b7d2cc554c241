"""The bases of all trunks."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from mtlkeras.features import Features
from mtlkeras.specs import Spec


class Trunk(Spec):
    """A shared body: called with the model's `keras.Input`s it gives `Features`.

    A subclass is a `mtlkeras.specs.spec` with plain fields. It names in `gives` the kinds
    of feature that it offers, and builds the graph in `__call__`.
    """

    gives: ClassVar[tuple[str, ...]] = ()

    def __call__(self, inputs: Any) -> Features:
        """Builds the trunk's layers on symbolic inputs.

        Args:
            inputs: A `keras.Input`, or a dict of them.
        """
        raise NotImplementedError


def single_input(trunk: Trunk, inputs: Any, rank: int, expected: str) -> Any:
    """Returns the one input tensor of the rank that a trunk needs.

    Args:
        trunk: The trunk, for the error message.
        inputs: What the trunk was called with; a dict of one is taken for its value.
        rank: Rank the tensor must have, the batch axis included.
        expected: The shape in words, such as `"(height, width, channels)"`.

    Raises:
        ValueError: If there are several inputs or the rank differs.
    """
    name = type(trunk).__name__
    flat = keras.tree.flatten(inputs)
    if len(flat) != 1:
        raise ValueError(f"{name} takes one input of shape {expected}; received {len(flat)} inputs.")
    if len(flat[0].shape) != rank:
        raise ValueError(
            f"{name} takes inputs of shape {expected}; received shape {tuple(flat[0].shape[1:])}."
        )
    return flat[0]


def scaled_image(trunk: Trunk, inputs: Any) -> Any:
    """Returns the image input as floats: whole-number pixels 0..255 become 0..1.

    Float inputs pass unchanged. The scaling is a layer of the trunk, so it is there after
    export too.
    """
    image = single_input(trunk, inputs, 4, "(height, width, channels)")
    if not keras.backend.is_float_dtype(image.dtype):
        image = keras.layers.Rescaling(1.0 / 255, name="pixel_scaling")(image)
    return image
