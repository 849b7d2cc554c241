"""Features of one stage, carried to the size of those of a later one."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras.layers._normalization import normalization, normalized
from mtlkeras.layers.adaptive_pooling import AdaptivePooling
from mtlkeras.layers.pooling import MaskedMean


class Carrying:
    """Layers that take features to the width and size of others; all calls share them.

    Maps pass a 3x3 convolution and are pooled, sequences and vectors pass a dense layer; each with a
    normalisation and a ReLU. Where fewer axes follow, the mean over the rest goes on.

    Args:
        like: Features of the stage to which others are carried.
        norm: Kind of the normalisation.
        name: What the names of the layers begin with.
    """

    def __init__(self, like: Any, norm: str | None, name: str) -> None:
        self._like, self._name = like, name
        channels, use_bias = like.shape[-1], norm is None
        self._layer: Any = keras.layers.Dense(channels, use_bias=use_bias, name=name)
        if len(like.shape) == 4:
            self._layer = keras.layers.Conv2D(channels, 3, padding="same", use_bias=use_bias, name=name)
        self._norm = normalization(norm, f"{name}_norm")
        self._relu = keras.layers.ReLU(name=f"{name}_relu")

    def __call__(self, x: Any, mask: Any, like_mask: Any, task: str) -> Any:
        """Returns features in the size of those that they are carried to.

        Args:
            x: Features of an earlier stage with at least as many axes.
            mask: Of the earlier stage, `None` without any.
            like_mask: Of the later one.
            task: Whose features they are, for the names of layers without weights.
        """
        name = f"{task}_{self._name}"
        if len(x.shape) > len(self._like.shape):
            x, mask = self._mean(x, mask, name), None
        x = self._relu(normalized(self._norm, self._layer(x), mask if len(x.shape) == 3 else None))
        if len(x.shape) == 2 or self._has_size_of(x, mask, like_mask):
            return x
        masks = [] if mask is None or like_mask is None else [mask, like_mask]
        return AdaptivePooling(name=f"{name}_pool")([x, self._like, *masks])

    def fits(self, x: Any) -> bool:
        """Tells whether features can be carried: from a map to a sequence there is no way."""
        return len(x.shape) == len(self._like.shape) or len(self._like.shape) == 2

    def _mean(self, x: Any, mask: Any, name: str) -> Any:
        if len(x.shape) == 4:
            return keras.layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
        return MaskedMean(name=f"{name}_mean")(x, mask=mask)

    def _has_size_of(self, x: Any, mask: Any, like_mask: Any) -> bool:
        sizes = x.shape[1:-1]
        if sizes != self._like.shape[1:-1]:
            return False
        # Where a size is not known, the same mask tells that the time is the same.
        return None not in sizes or (len(x.shape) == 3 and mask is not None and mask is like_mask)
