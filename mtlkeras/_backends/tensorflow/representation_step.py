"""TensorFlow: the training step of balancers by gradients of the representation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mtlkeras._backends.tensorflow.passes import added, copied, values
from mtlkeras._keras_private import loss_of


def representation_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs.

    As Keras' own step, but cut at the model's fork: the gradients of the tasks' copies of what the trunk
    gave are weighed before they go on through the trunk.
    """
    balancing, optimizer = model.balancing, model.optimizer
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    variables = model.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        with balancing.fork.cutting(copied(tape)) as cut, balancing.asked():
            outputs = model.outputs_for_loss(x, training=True)
            loss = loss_of(model, x, y, outputs, sample_weight, training=True)
        loss = optimizer.scale_loss(loss)
    of_copies, behind = tape.gradient(loss, [cut.copies, values(variables)])
    found = {
        task: [
            tf.zeros_like(copy) if gradient is None else tf.convert_to_tensor(gradient)
            for copy, gradient in zip(copies, of_copies[task], strict=True)
        ]
        for task, copies in cut.copies.items()
    }
    seeds, after = balancing.weigh(cut, found, optimizer.scale_loss(tf.ones(())))
    before = tape.gradient(cut.given, values(variables), seeds)
    optimizer.apply_gradients(list(zip(added(behind, before), variables, strict=True)))
    for variable, value in after:
        variable.assign(value)
    return model.compute_metrics(x, y, outputs, sample_weight=sample_weight)
