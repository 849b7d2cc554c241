"""TensorFlow: the gradient of each task's loss, outside of a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def task_gradients(model: Any, variables: list[Any]) -> Callable[[Any, Any, Any], tuple[Any, Any, list[Any]]]:
    """Returns what computes the losses of tasks and their gradients, as a graph.

    Args:
        model: The model.
        variables: Trainable variables of it.

    Returns:
        A function of inputs, labels by task and sample weights, which gives the losses `(tasks,)`, which
        tasks have labels, `(tasks,)`, and the gradients of all tasks by variable, `(tasks, *variable)`.
        Layers answer as in inference, and nothing in the model changes.
    """
    values = [variable.value for variable in variables]

    def compute(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape(persistent=True) as tape:
            outputs = model.outputs_for_loss(x, training=False)
            losses, _, present = model.look_at_losses(y, outputs, sample_weight)
        by_task = [
            tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO) for loss in losses
        ]
        dense = [[tf.convert_to_tensor(g) for g in found] for found in by_task]
        return tf.stack(losses), present, [tf.stack(found) for found in zip(*dense, strict=True)]

    return tf.function(compute, autograph=False, reduce_retracing=True)
