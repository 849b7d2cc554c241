"""Batches of a data set changed by a function of Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from mtlkeras._types import Dataset


def with_labels(dataset: Dataset, add: Callable[[Any], Any], widths: Mapping[str, int]) -> Dataset:
    """Returns a data set whose batches a function has given further labels, float32 `(batch, width)`.

    The function is called outside of any graph, in the order of the batches, and keeps all other shapes.

    Args:
        dataset: Of batches `(x, y)` or `(x, y, sample_weight)`.
        add: Called with a batch of eager tensors.
        widths: The widths of the labels by name.
    """
    new = {name: tf.TensorSpec((None, width), tf.float32) for name, width in widths.items()}
    first = next(iter(dataset.take(1)), None)
    spec: Any = dataset.element_spec
    if first is not None and len(first) == 3:
        x, y, weights = spec
        # What a dict of weights gets more of shows in a batch.
        more = {
            name: tf.TensorSpec((None,), tf.as_dtype(keras.backend.standardize_dtype(w.dtype)))
            for name, w in (add(first)[2].items() if isinstance(weights, Mapping) else ())
            if name not in weights
        }
        spec = x, {**y, **new}, {**weights, **more} if isinstance(weights, Mapping) else weights
    else:
        spec = spec[0], {**spec[1], **new}
    made = tf.data.Dataset.from_generator(lambda: map(add, dataset), output_signature=spec)
    return made.apply(tf.data.experimental.assert_cardinality(dataset.cardinality()))
