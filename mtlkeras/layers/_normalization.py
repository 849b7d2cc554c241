"""Normalisation within layers of several parts."""

from __future__ import annotations

from typing import Any

import keras

# Those of the convolutional trunks.
_BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}

NORMALIZATIONS = ("batch", "layer", None)


def normalization(kind: str | None, name: str, **kwargs: Any) -> Any:
    """Returns a normalisation over the last axis by the name of its kind; `None` for none.

    Args:
        kind: `"batch"`, `"layer"` or `None`.
        name: Name of the layer.
        **kwargs: Further arguments of the layer, such as its `dtype`.
    """
    if kind == "batch":
        return keras.layers.BatchNormalization(**_BATCH_NORM, name=name, **kwargs)
    return keras.layers.LayerNormalization(name=name, **kwargs) if kind == "layer" else None


def normalized(layer: Any, x: Any, mask: Any, **kwargs: Any) -> Any:
    """Returns what a normalisation makes of a tensor; steps outside of a mask are no part of a batch's mean.

    Args:
        layer: What `normalization` returned.
        x: Tensor of any rank.
        mask: Bool `(batch, time)` for a sequence `(batch, time, features)`, or `None`.
        **kwargs: Further arguments of a call, such as `training`.
    """
    if layer is None:
        return x
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer(x, mask=mask, **kwargs)
    return layer(x)
