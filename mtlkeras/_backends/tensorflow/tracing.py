"""TensorFlow: functions as graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of tensors, and of lists of them, as a graph."""
    return tf.function(function, autograph=False)


def traced_once(function: Callable, signature: Any) -> Callable:
    """Returns the function with a graph of its own, which what calls it shares.

    Args:
        function: Takes one structure of tensors.
        signature: That structure, of `keras.InputSpec`.
    """
    specs = keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), signature)
    return tf.function(function, input_signature=[specs], autograph=False).get_concrete_function()
