"""Counting operations with TensorFlow's profiler."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    with _quiet():
        return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what the profiler warns of: that it calls a deprecated function of its own."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _one_example(x: Any) -> tf.TensorSpec:
    if None in x.shape[1:]:
        raise ValueError(
            f"Input '{x.name}' has the shape {tuple(x.shape[1:])}: operations are counted for a known "
            "shape only."
        )
    return tf.TensorSpec((1, *x.shape[1:]), x.dtype)
