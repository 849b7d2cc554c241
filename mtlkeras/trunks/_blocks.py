"""The layers that convolutional trunks are put together from."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from mtlkeras._types import Tensor
from mtlkeras.layers.batch_norm_per_source import BatchNormalizationPerSource
from mtlkeras.layers.grouped import GroupedConv2D
from mtlkeras.trunks._source import PER_SOURCE
from mtlkeras.trunks.image import ImageTrunk, shorter_side
from mtlkeras.trunks.stages import Flow, Stage

# Keras' own default of 0.99 forgets the first steps only after hundreds of steps, more than
# a short training has, so that evaluation would lag behind training; 0.9 is also the papers'.
BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5

_SMALLEST_GROUP = 8

SMALLEST_POOLED = 4
"""With the small stem, a map whose shorter side is under this is not pooled further."""


def conv(
    trunk: ImageTrunk,
    x: Tensor,
    filters: int,
    kernel: int,
    name: str,
    strides: int = 1,
    groups: int = 1,
    padding: str = "same",
    relu: bool = True,
    gamma: str = "ones",
    source: Tensor | None = None,
) -> Any:
    """Applies a convolution, the trunk's normalisation, and a ReLU.

    Args:
        trunk: The trunk, for its normalisation, biases and penalties.
        x: Maps of shape `(batch, height, width, channels)`.
        filters: Number of channels to give.
        kernel: Side of the kernel in pixels.
        name: Name of the convolution; the layers after it are `name_norm` and `name_relu`.
        strides: Step of the convolution.
        groups: Number of separate groups of channels.
        padding: `"same"` or `"valid"`.
        relu: Whether a ReLU comes last.
        gamma: Initialiser of the normalisation's scale.
        source: The source of each example, where the trunk normalises by it.
    """
    normalized = trunk.normalization in ("batch", "batch_per_source", "group", "layer")
    layer = keras.layers.Conv2D if groups == 1 else GroupedConv2D
    x = layer(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        groups=groups,
        use_bias=not normalized if trunk.use_bias is None else trunk.use_bias,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty(trunk),
        name=name,
    )(x)
    if normalized:
        x = norm(trunk, x, f"{name}_norm", gamma, source)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def norm(trunk: Any, x: Tensor, name: str, gamma: str = "ones", source: Tensor | None = None) -> Any:
    """Applies a trunk's normalisation layer.

    Args:
        trunk: The trunk; `normalization` is the kind, `sources` the number of sources.
        x: What to normalise, over the last axis.
        name: Name of the layer.
        gamma: Initialiser of the scale.
        source: The source of each example, for `"batch_per_source"`.
    """
    kind = trunk.normalization
    if kind == PER_SOURCE:
        return BatchNormalizationPerSource(
            trunk.sources, BATCH_NORM_MOMENTUM, BATCH_NORM_EPSILON, gamma_initializer=gamma, name=name
        )([x, source])
    if kind == "batch":
        return keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, gamma_initializer=gamma, name=name
        )(x)
    if kind == "group":
        groups = _groups(x.shape[-1], over_pixels=len(x.shape) > 2)
        return keras.layers.GroupNormalization(groups, gamma_initializer=gamma, name=name)(x)
    return keras.layers.LayerNormalization(gamma_initializer=gamma, name=name)(x)


def _groups(channels: int, over_pixels: bool) -> int:
    """Returns the most groups up to 32 (Wu and He 2018) that share the channels out evenly.

    Without pixels a group of one channel would be its own mean, and zero: there each has 8 channels, or all.
    """
    groups = math.gcd(32, channels)
    while not over_pixels and groups > 1 and channels // groups < _SMALLEST_GROUP:
        groups //= 2
    return groups


def max_pool(x: Tensor, name: str, stem: str, size: int = 3, padding: str = "same") -> Any:
    """Halves the maps by max pooling, unless the stem is small and so are they."""
    if stem == "small" and shorter_side(*x.shape[1:3]) < SMALLEST_POOLED:
        return x
    return keras.layers.MaxPooling2D(size, strides=2, padding=padding, name=name)(x)


def fully_connected(trunk: Any, pooled: Callable[[Any], Any]) -> list[Stage]:
    """Returns the stages `fc_1` and `fc_2`: dense layers with dropout, the first on flattened maps.

    Args:
        trunk: The trunk; `fc_units` is the number of units.
        pooled: What is done to the maps of the last convolution before they are flattened; its result is
            beside the flow as `"map"`.

    Raises:
        ValueError: When run, if the size of the maps is not known.
    """
    return [
        Stage("fc_1", partial(_first_dense, trunk, pooled)),
        Stage("fc_2", partial(_dense, trunk, "fc_2")),
    ]


def _first_dense(trunk: Any, pooled: Callable[[Any], Any], flow: Flow) -> Flow:
    x = pooled(flow.x)
    if None in x.shape[1:]:
        raise ValueError(
            f"{type(trunk).__name__} has fully connected layers, so the height and width of its images must "
            f"be fixed; received maps of shape {tuple(x.shape[1:])}. Give keras.Input a full shape, or use "
            "ResNet or GoogLeNet."
        )
    flat = keras.layers.Flatten(name="flatten")(x)
    return _dense(trunk, "fc_1", flow.to(flat, beside={"map": x}))


def _dense(trunk: Any, name: str, flow: Flow) -> Flow:
    x = keras.layers.Dense(
        trunk.fc_units, kernel_initializer="he_normal", kernel_regularizer=penalty(trunk), name=name
    )(flow.x)
    return flow.to(dropped(trunk, keras.layers.ReLU(name=f"{name}_relu")(x), f"{name}_dropout"))


def dropped(trunk: Any, x: Tensor, name: str) -> Any:
    """Applies the trunk's dropout, if it has any."""
    return keras.layers.Dropout(trunk.dropout, name=name)(x) if trunk.dropout else x


def penalty(trunk: Any) -> Any:
    """Returns the trunk's kernel regulariser, or `None`."""
    return keras.regularizers.L1L2(trunk.l1, trunk.l2) if trunk.l1 or trunk.l2 else None
