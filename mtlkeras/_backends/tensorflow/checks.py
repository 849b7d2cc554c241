"""TensorFlow: checks of values within a graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtlkeras._errors import framed


def check_at_most(values: Any, limit: int, length: int | None, message: str) -> Any:
    """Returns `values`, and fails in the graph with a message if one is larger than `limit`.

    Args:
        values: Whole numbers, one for each step of padded sequences.
        limit: The largest that may occur.
        length: Number of steps, where it is known; not used here.
        message: What to say.
    """
    largest = tf.reduce_max(tf.concat([[0], tf.reshape(values, [-1])], 0))
    with tf.control_dependencies([tf.debugging.Assert(largest <= limit, [message])]):
        return tf.identity(values)


def check_same_length(labels: Any, outputs: Any, message: str) -> Any:
    """Returns labels of sequences, and fails in the graph with a message if outputs have another length."""
    same = tf.equal(tf.shape(labels)[1], tf.shape(outputs)[1])
    with tf.control_dependencies([tf.debugging.Assert(same, [framed(message)])]):
        return tf.identity(labels)
