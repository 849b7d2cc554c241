"""Replicas that get no row of a batch, because it has fewer rows than there are replicas.

Convolutions and other layers of TensorFlow fail on an empty batch, so such a replica computes
one row of zeros that counts for nothing.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mtlkeras._errors import framed
from mtlkeras._keras_private import all_layers


def with_a_row(data: Any) -> tuple[Any, Any, Any]:
    """Returns inputs, labels and weights of a step, with one row of weight zero if they had none."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    rows = _row_count(x)
    if sample_weight is None:
        sample_weight = tf.ones((rows,))
    return _padded(x, rows), _padded(y, rows), _padded(sample_weight, rows)


def inputs_with_a_row(data: Any) -> tuple[Any, Any]:
    """Returns inputs with at least one row, and the number of rows that were there."""
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    rows = _row_count(x)
    return _padded(x, rows), rows


def without_added_row(outputs: Any, rows: Any) -> Any:
    """Returns the first rows of a step's outputs."""
    return tf.nest.map_structure(lambda tensor: tensor[:rows], outputs)


def check_not_empty(model: Any, data: Any) -> list[Any]:
    """Returns the operation that fails on an empty part if the model normalises over the batch."""
    layers = (layer for layer in all_layers(model) if layer.trainable)
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
        return []
    text = (
        "A batch has fewer examples than there are replicas, which batch normalisation cannot take. "
        "Leave a small last batch out (drop_remainder=True) or change the batch size."
    )
    return [tf.debugging.Assert(_row_count(data) > 0, [framed(text)])]


def _row_count(data: Any) -> Any:
    return tf.shape(tf.nest.flatten(data)[0])[0]


def _padded(data: Any, rows: Any) -> Any:
    extra = tf.cast(tf.equal(rows, 0), tf.int32)

    def pad(tensor: Any) -> Any:
        zeros = tf.zeros(tf.concat([[extra], tf.shape(tensor)[1:]], 0), tensor.dtype)
        return tf.ensure_shape(tf.concat([tensor, zeros], 0), (None, *tensor.shape[1:]))

    return tf.nest.map_structure(pad, data)
