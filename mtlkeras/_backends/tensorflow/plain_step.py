"""TensorFlow: the steps without a balancer of gradients, as Keras' own but for the scores of the loss."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf

from mtlkeras._keras_private import loss_of


def plain_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    with tf.GradientTape() as tape:
        outputs = model.outputs_for_loss(x, training=True)
        loss = loss_of(model, x, y, outputs, sample_weight, training=True)
        loss = model.optimizer.scale_loss(loss)
    variables = model.trainable_weights
    if variables:
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    else:
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
    return model.compute_metrics(x, y, outputs, sample_weight=sample_weight)


def test_step(model: Any, data: Any) -> dict[str, Any]:
    """Evaluates one batch; returns the logs."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    outputs = model.outputs_for_loss(x, training=False)
    loss_of(model, x, y, outputs, sample_weight, training=False)
    return model.compute_metrics(x, y, outputs, sample_weight=sample_weight)
