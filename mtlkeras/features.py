"""What a trunk offers to the heads: named tensors of known kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._types import Tensor

KINDS = ("vector", "map", "sequence")
_KIND_OF_RANK = {2: "vector", 3: "sequence", 4: "map"}


@dataclasses.dataclass(frozen=True)
class Features:
    """The symbolic outputs of a trunk.

    Args:
        vector: Tensor of shape `(batch, features)`, or `None`.
        map: Tensor of shape `(batch, height, width, channels)`, or `None`.
        sequence: Tensor of shape `(batch, time, features)`, or `None`.
        mask: Bool tensor of shape `(batch, time)`, true where `sequence` holds a token; `None`
            where all of it counts.
        taps: Tensors of the trunk's inner blocks by name, from shallow to deep. The rank
            tells the kind: 2 vector, 3 sequence, 4 map. A sequence tap has the time axis of
            `sequence`, so that the one mask holds for it too.
        source: The trunk, for error messages.
        picture: Height and width of the model's picture, where it has one of a known size.
        image: The picture itself, where there is one and its size is not known.
        scores: Of other tasks what this one reads, their scores or probabilities, by task.
        cuts: Tensors of the trunk between which the backward pass computes activations again; none where it
            keeps them.

    Example:

    ```python
    features = mtlkeras.trunks.ResNet(depth=8)(keras.Input((28, 28, 1)))
    features.vector.shape  # (None, 64)
    list(features.taps)    # ['stem', 'stage_1', 'stage_2', 'stage_3']
    ```
    """

    vector: Tensor | None = None
    map: Tensor | None = None
    sequence: Tensor | None = None
    mask: Tensor | None = None
    taps: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    source: Any = "the trunk"
    picture: tuple[int, int] | None = None
    image: Tensor | None = None
    scores: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    cuts: tuple[Any, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """The kinds of feature that are there."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def get(self, kind: str, at: str | None = None, asked_by: str = "The head") -> Tensor:
        """Returns the tensor of a kind, from the trunk's end or from a tap.

        Args:
            kind: `"vector"`, `"map"` or `"sequence"`.
            at: Name of a tap; `None` for the trunk's end. A map or sequence tap gives a
                vector by global average pooling.
            asked_by: Who asks, for error messages.

        Raises:
            ValueError: If the trunk has no such tap, or nothing of that kind there.
        """
        if at is None:
            tensor = getattr(self, kind)
            if tensor is None:
                raise ValueError(
                    f"{asked_by} asks for a {kind}, which {self.source} does not give "
                    f"(it gives: {', '.join(self.kinds) or 'nothing'}). {_offering(kind)}"
                )
            return tensor
        if at not in self.taps:
            raise unknown_name("tap", at, self.taps, f"at= of {asked_by} on {self.source}")
        tensor = self.taps[at]
        have = _KIND_OF_RANK.get(len(tensor.shape))
        if have == kind:
            return tensor
        if kind == "vector" and have == "map":
            return keras.layers.GlobalAveragePooling2D(name=f"{at}_pool")(tensor)
        if kind == "vector" and have == "sequence":
            return keras.layers.GlobalAveragePooling1D(name=f"{at}_pool")(tensor, mask=self.mask)
        raise ValueError(f"{asked_by} asks for a {kind} at tap '{at}', where {self.source} gives a {have}.")


def _offering(kind: str) -> str:
    # Trunks are above this module; Keras knows all that were imported.
    classes = keras.saving.get_custom_objects().values()
    names = sorted(
        cls.__name__
        for cls in classes
        if kind in getattr(cls, "gives", ()) and cls.__module__.startswith("mtlkeras.")
    )
    return f"Trunks that give a {kind}: {', '.join(names) or 'none yet'}."
