"""How a metric of a head's own is fed with labels, some of which are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from mtlkeras._model.objective import TaskObjective


def label_weights(objective: TaskObjective, mask: Any, sample_weight: Any) -> Any:
    """Returns a weight for each label, zero where there is none."""
    weights = ops.cast(mask, "float32")
    if isinstance(sample_weight, Mapping):
        sample_weight = sample_weight.get(objective.task)
    if sample_weight is None:
        return weights
    given = objective.weights(sample_weight, mask)
    return weights * (ops.expand_dims(given, -1) if len(weights.shape) > len(given.shape) else given)


def update_with_weights(metric: Any, targets: Any, outputs: Any, weights: Any) -> None:
    """Updates a metric of a head's own with weights of the labels' shape, entries included."""
    if len(weights.shape) == 2:
        if isinstance(metric, keras.metrics.MeanMetricWrapper):
            # The function reduces the last axis: make every entry an example of its own.
            scores = outputs.shape[-1] if len(outputs.shape) == 3 else 1
            targets, outputs = ops.reshape(targets, (-1, 1)), ops.reshape(outputs, (-1, scores))
            weights = ops.reshape(weights, (-1,))
        elif isinstance(metric, keras.metrics.FBetaScore):
            # It counts hits and misses per label and takes weights per example only; an
            # entry that is neither labelled nor predicted counts as neither.
            mask = ops.cast(weights > 0, outputs.dtype)
            targets, outputs, weights = targets * mask, outputs * mask, ops.max(weights, axis=-1)
    metric.update_state(targets, outputs, sample_weight=weights)
