"""What a model takes from labels before it trains: means, scales and weights of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras._model.class_balance import ClassBalance, set_class_weights
from mtlkeras._model.label_arrays import label_array
from mtlkeras.layers.output import RegressionOutput


def adapt(model: Any, y: Any) -> None:
    """Does what `MultiTaskModel.adapt` says."""
    layers = {t: layer for t, layer in model.output_layers.items() if isinstance(layer, RegressionOutput)}
    batches = [y] if isinstance(y, dict) else (batch[1] for batch in y)
    seen: dict[str, list] = {task: [] for task in layers}
    balance = ClassBalance({task: head for task, head in model.heads.items() if head.balanced})
    for batch in batches:
        balance.add(batch)
        for task, layer in layers.items():
            if batch.get(task) is not None:
                labels = label_array(task, layer.head, batch[task])
                gone = labels == MISSING if labels.dtype.kind == "i" else np.isnan(labels)
                values = np.where(gone, np.nan, labels.astype("float64"))
                seen[task].append(values.reshape(-1, values.shape[-1]))  # Of pictures each pixel.
    for task, layer in layers.items():
        layer.adapt(*_moments(task, seen[task]))
    set_class_weights(model, balance.weights())


def _moments(task: str, batches: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the scale of a task's labels, each shape `(targets,)`."""
    if not batches:
        raise ValueError(f"Cannot adapt task '{task}': the labels do not have it.")
    y = np.concatenate(batches)
    if np.isnan(y).all(axis=0).any():
        raise ValueError(f"Cannot adapt task '{task}': a target has no label.")
    mean, scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    # Equal labels have a deviation of rounding, and the scale 1.
    constant = scale <= 1e-7 * np.maximum(np.nanmax(np.abs(y), axis=0), 1e-30)
    return mean, np.where(constant, 1.0, scale)
