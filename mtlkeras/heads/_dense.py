"""The base of heads that give an answer for every pixel, from the maps of an image trunk's taps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from mtlkeras._fields import check_choice, whole_number
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.heads._decoders import DECODERS
from mtlkeras.heads._decoders.parts import Parts, to_size
from mtlkeras.heads.base import Head
from mtlkeras.layers.resize_like import ResizeLike
from mtlkeras.specs import tunable


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class DenseHead(Head):
    """A decoder over several taps, scores for every pixel, and labels of pixels in a row.

    Args:
        taps: The taps to read, from shallow to deep; `None` for the last one of each size, or where no size
            is known the trunk's end. With `at` that tap alone.
        decoder: What brings the maps together: `"fpn"`, `"unet"` or `"linear"`.
        width: Channels of the decoder.
        size: `(height, width)` of the labels; `None` for that of the model's picture.
    """

    kind: ClassVar = "map"
    # Whether each of a pixel's scores has a label of its own; else they are one label's.
    scores_are_labels: ClassVar[bool] = True

    taps: tuple[str, ...] | None = None
    decoder: str = tunable("fpn", "fpn", "unet", "linear")
    width: int = tunable(64, 32, 64, 128)
    size: tuple[int, ...] | None = None

    def validate(self) -> None:
        super().validate()
        name = type(self).__name__
        check_choice(self, "decoder", tuple(DECODERS))
        whole_number(name, "width", self.width)
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"{name}: size must be (height, width); received {self.size}.")
        if self.at is not None and self.taps is not None:
            raise ValueError(f"{name}: give at= or taps=; received {self.at!r} and {self.taps!r}.")

    # Building.

    def reads(self, features: Features, task: str) -> dict[tuple[str | None, str], Any]:
        asked_by = f"{type(self).__name__} of task '{task}'"
        names = self.taps or (() if self.at is None else (self.at,)) or _last_of_each_size(features.taps)
        if not names:
            return {(None, "map"): features.get("map", asked_by=asked_by)}
        return {(name, "map"): features.get("map", name, asked_by=asked_by) for name in names}

    def scores(self, features: Features, task: str) -> Tensor:
        maps: dict[str, Any] = dict(features.taps) or {"end": features.map}
        penalty = keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None
        parts = Parts(task, self.width, self.activation, penalty)
        x = DECODERS[self.decoder](parts, list(maps.items()))
        x = self._beside_others(x, features, task)
        for i, units in enumerate(self.hidden, 1):
            x = self._dropped(x, f"{task}_dropout_{i}")
            x = self._dense(units, f"{task}_hidden_{i}", self.activation)(x)
        scores = self._dense(self.units, f"{task}_logits", None)(self._dropped(x, f"{task}_dropout"))
        return self._in_full_size(scores, features, task)

    def _in_full_size(self, scores: Tensor, features: Features, task: str) -> Tensor:
        """Returns scores in the size of the labels."""
        name, size = f"{task}_resize", self.size or features.picture
        if size is not None and None not in scores.shape[1:3]:
            return to_size(scores, size, name)
        if size is not None:
            return keras.layers.Resizing(*size, interpolation="bilinear", dtype="float32", name=name)(scores)
        if features.image is not None:
            return ResizeLike(dtype="float32", name=name)([scores, features.image])
        raise ValueError(
            f"{type(self).__name__} of task '{task}': the model has no one picture among its inputs, whose "
            "size the labels have. Give the head size=(height, width)."
        )

    def label_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Returns the shape of an example's label, for the shapes of a batch of all inputs."""
        size = self.size or next((shape[1:3] for shape in shapes if len(shape) == 4), (1, 1))
        return (*size, self.units) if self.scores_are_labels else tuple(size)

    # Labels: pixels in a row.

    @property
    def weighed_by_label(self) -> bool:
        return True

    def in_a_row(self, values: Tensor, axes: int = 0) -> Tensor:
        rank = len(values.shape)
        if self.scores_are_labels:
            return values if rank < 3 or (axes and rank != 4) else _merged(values, rank - 1)
        if axes == 0 and rank == 4 and values.shape[-1] == 1:
            values = values[..., 0]
        return values if len(values.shape) - axes != 3 else _merged(values, 2)

    def in_pictures(self, values: Tensor, outputs: Tensor) -> Tensor:
        size = [
            dynamic if n is None else n for n, dynamic in zip(outputs.shape, ops.shape(outputs), strict=True)
        ]
        return ops.reshape(values, (-1, *(size[1:] if self.scores_are_labels else size[1:3])))

    def within(self, mask: Tensor, outputs: Tensor) -> Tensor:
        """Returns the mask as it is.

        Raises:
            ValueError: If labels and outputs have different numbers of pixels.
        """
        if None not in (mask.shape[1], outputs.shape[1]) and mask.shape[1] != outputs.shape[1]:
            each = self.units if self.scores_are_labels else 1
            raise ValueError(
                f"the labels have {mask.shape[1] // each} pixels, the outputs {outputs.shape[1] // each}."
            )
        return mask

    def by_pixel(self, values: Tensor) -> Tensor:
        """Returns what has an entry for each of a pixel's scores, in a row, as `(batch, pixels, scores)`."""
        if values.shape[1] is None:
            return ops.reshape(values, (ops.shape(values)[0], -1, self.units))
        return ops.reshape(values, (-1, values.shape[1] // self.units, self.units))

    def by_unit(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the losses of the labels, over which the task's mean is."""
        return ops.where(mask, values, 0.0), mask


def _merged(values: Tensor, axes: int) -> Tensor:
    """Returns values with so many axes after the first as one."""
    merged, rest = values.shape[1 : 1 + axes], values.shape[1 + axes :]
    if None in merged:
        return ops.reshape(values, (ops.shape(values)[0], -1, *rest))
    return ops.reshape(values, (-1, math.prod(merged), *rest))


def _last_of_each_size(taps: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the deepest tap of each size, from shallow to deep; none where sizes are not known."""
    sizes = {name: tuple(x.shape[1:3]) for name, x in taps.items() if len(x.shape) == 4}
    if any(None in size for size in sizes.values()):
        return ()
    last = {size: name for name, size in sizes.items()}
    return tuple(name for name, size in sizes.items() if last[size] == name)
