"""TensorFlow: a scan over the first axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def scan(step: Callable[[Any, Any], tuple[Any, Any]], init: Any, inputs: Any, reverse: bool = False) -> Any:
    """Runs `carry, output = step(carry, input)` along the first axis of the inputs.

    `keras.ops.scan` wants outputs of the carry's shape and dtype on TensorFlow, and its gradient
    fails under XLA and with a dynamic length. This one has no gradient of its own: it serves
    recursions whose gradient is another recursion, and decoding.

    Args:
        step: Takes the carry and one entry of the inputs; returns the next carry and an output.
        init: Tensor, or tuple of tensors.
        inputs: Tensor, or tuple of tensors, of the same length of at least 1 on the first axis.
        reverse: Whether to begin at the end; outputs keep the places of their inputs.

    Returns:
        The last carry, and the outputs stacked on the first axis.
    """
    init, inputs = tf.nest.map_structure(tf.convert_to_tensor, (init, inputs))
    if tf.executing_eagerly():  # As a graph, for a loop in Python takes a hundred times as long.
        run = tf.function(lambda init, inputs: _scan(step, init, inputs, reverse), autograph=False)
        return run(init, inputs)
    return _scan(step, init, inputs, reverse)


def _scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any, reverse: bool) -> Any:
    flat = tf.nest.flatten(inputs)
    length = flat[0].shape[0] if flat[0].shape[0] is not None else tf.shape(flat[0])[0]

    def at(place: Any) -> Any:
        return tf.nest.pack_sequence_as(inputs, [x[place] for x in flat])

    spec = tf.nest.map_structure(_spec, carry)
    entry = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), inputs)
    probe = tf.function(step, autograph=False).get_concrete_function(spec, entry)
    arrays = [
        tf.TensorArray(out.dtype, size=length, element_shape=out.shape)
        for out in tf.nest.flatten(probe.structured_outputs[1])
    ]

    def body(count: Any, carry: Any, arrays: Any) -> Any:
        place = length - 1 - count if reverse else count
        carry, output = step(carry, at(place))
        written = [
            array.write(place, out) for array, out in zip(arrays, tf.nest.flatten(output), strict=True)
        ]
        return count + 1, carry, written

    _, carry, arrays = tf.while_loop(
        lambda count, *_: count < length,
        body,
        (tf.constant(0), carry, arrays),
        maximum_iterations=length,
    )
    outputs = tf.nest.pack_sequence_as(probe.structured_outputs[1], [array.stack() for array in arrays])
    return carry, outputs


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)
