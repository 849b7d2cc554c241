"""TensorFlow: gradients of a model's joint loss in inference, outside of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def loss_gradients(model: Any, variables: list[Any]) -> Callable[..., list[np.ndarray]]:
    """Returns what gives the gradients of the sum of the tasks' weighted losses of a batch by some variables.

    It takes inputs, labels, sample weights, and what the loss is multiplied by. The pass is one of inference:
    no dropout, moving statistics. Regularisers do not count.

    Args:
        model: A compiled `MultiTaskModel`.
        variables: The variables, frozen ones too.
    """

    @tf.function(autograph=False)
    def gradients(x: Any, y: Any, sample_weight: Any, scale: Any) -> list[Any]:
        values = [tf.convert_to_tensor(variable.value) for variable in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable.value)
            losses, _, _ = model.look_at_losses(y, model.outputs_for_loss(x, training=False), sample_weight)
            loss = tf.add_n(losses)
            loss *= tf.cast(scale, loss.dtype)
        found = tape.gradient(loss, [variable.value for variable in variables])
        return [
            tf.zeros_like(value) if g is None else tf.convert_to_tensor(g)
            for g, value in zip(found, values, strict=True)
        ]

    def on_batch(x: Any, y: Any, sample_weight: Any, scale: float) -> list[np.ndarray]:
        tensors = keras.tree.map_structure(tf.convert_to_tensor, (x, y, sample_weight), none_is_leaf=False)
        return [g.numpy() for g in gradients(*tensors, tf.constant(scale, tf.float32))]

    return on_batch
