"""Counting operations with TensorFlow's profiler."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def count(model: Any) -> int:
    """Returns the floating-point operations of the model for one example."""
    # A sequential model that was never called has no `input` yet.
    inputs = model.input if hasattr(model, "input") else model.inputs[0]
    specs = keras.tree.map_structure(_one_example, inputs)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(specs).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)


def _one_example(x: Any) -> tf.TensorSpec:
    if None in x.shape[1:]:
        raise ValueError(
            f"Input '{x.name}' has the shape {tuple(x.shape[1:])}: operations are counted for a known "
            "shape only."
        )
    return tf.TensorSpec((1, *x.shape[1:]), x.dtype)
