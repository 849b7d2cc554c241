"""TensorFlow: the training step of balancers by gradients of the representation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def representation_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs.

    A step as Keras' own, but for the balancer's state: the fork gives its new value as its gradient.
    """
    balancing = model.balancing
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    state = tf.identity(balancing.state.value)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(state)
        with balancing.balancing(state):
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True)
        loss = model.optimizer.scale_loss(loss)
    *gradients, after = tape.gradient(loss, [*(v.value for v in variables), state])
    model.optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))
    balancing.state.assign(after)
    return model.compute_metrics(x, y, outputs, sample_weight=sample_weight)
