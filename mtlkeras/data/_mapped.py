"""Batches of a data set changed by a function of Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mtlkeras._types import Dataset


def with_labels(dataset: Dataset, add: Callable[[Any], Any], widths: Mapping[str, int]) -> Dataset:
    """Returns a data set whose batches a function has given further labels, float32 `(batch, width)`.

    The function is called outside of any graph, in the order of the batches, and keeps all other shapes.

    Args:
        dataset: Of batches `(x, y)` or `(x, y, sample_weight)`.
        add: Called with a batch of NumPy arrays.
        widths: The widths of the labels by name.
    """
    new = {name: tf.TensorSpec((None, width), tf.float32) for name, width in widths.items()}
    x, y, *weights = dataset.element_spec
    spec: Any = (x, {**y, **new}, *weights)
    if weights and isinstance(weights[0], Mapping):
        # What a dict of weights gets more of shows in a batch.
        more = {} if (first := next(dataset.as_numpy_iterator(), None)) is None else add(first)[2]
        kinds = {name: tf.TensorSpec((None,), tf.convert_to_tensor(w).dtype) for name, w in more.items()}
        spec = x, spec[1], {**kinds, **weights[0]}
    made = tf.data.Dataset.from_generator(
        lambda: map(add, dataset.as_numpy_iterator()), output_signature=spec
    )
    return made.apply(tf.data.experimental.assert_cardinality(dataset.cardinality()))
