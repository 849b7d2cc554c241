"""TensorFlow: gradients by what a function is called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def input_gradients(function: Callable[[list[Any]], Any], values: list[Any]) -> tuple[Any, list[Any]]:
    """Returns what a function gives for some tensors, and the gradients of its sum by each of them.

    Args:
        function: A function of a list of float tensors, which gives a tensor.
        values: The tensors. The gradient by one that the function does not read is zero.
    """
    values = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        result = function(values)
        total = tf.reduce_sum(result)
    gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return result, [tf.convert_to_tensor(gradient) for gradient in gradients]
