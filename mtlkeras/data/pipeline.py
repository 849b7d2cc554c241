"""From arrays to batches: shuffle, gather, decode, prefetch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras.data.images import Pictures
from mtlkeras.data.inputs import Inputs
from mtlkeras.data.options import Options
from mtlkeras.data.order import EpochOrder, shuffled_range
from mtlkeras.data.sharding import shared_by_example


def batches_of_rows(
    arrays: Mapping[str, Any], labels: Mapping[str, np.ndarray], inputs: Inputs, options: Options
) -> Any:
    """Makes the data set of rows that are at hand.

    Args:
        arrays: An array with one entry a row, or settled `Pictures`, by input name.
        labels: The label arrays by task.
        inputs: How the inputs are packed.
        options: Arguments of `load`.
    """
    import tensorflow as tf

    length = len(next(iter(labels.values())))
    rows = (
        shuffled_range(length, EpochOrder(options.seed))
        if options.shuffled
        else tf.data.Dataset.range(length)
    )
    files = {name: value for name, value in arrays.items() if isinstance(value, Pictures)}
    elements = rows.map(lambda row: (row, {}))
    if files:
        elements = rows.map(
            lambda row: (row, _decoded(files, row, options)), num_parallel_calls=parallel(options)
        )
    # Whole batches are gathered at once, which costs far less than one row at a time.
    elements = elements.batch(options.batch_size, drop_remainder=options.drop_remainder)
    with tf.device("CPU:0"):
        held = {name: tf.constant(value) for name, value in arrays.items() if name not in files}
        answers = {task: tf.constant(value) for task, value in labels.items()}

    def gather(batch: Any, decoded: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = {name: decoded[name] if name in files else tf.gather(held[name], batch) for name in arrays}
        return inputs.packed(x), {task: tf.gather(values, batch) for task, values in answers.items()}

    return prefetched(elements.map(gather, num_parallel_calls=parallel(options)), options)


def _decoded(files: Mapping[str, Pictures], row: Any, options: Options) -> dict[str, Any]:
    import tensorflow as tf

    def decode(pictures: Pictures) -> Any:
        # Decoding runs in Python, so that the error for a bad file can name it.
        picture = tf.numpy_function(
            lambda r: pictures.checked(int(r), options.image_size is not None), [row], tf.uint8
        )
        return tf.ensure_shape(picture, pictures.shape)

    return {name: decode(pictures) for name, pictures in files.items()}


def parallel(options: Options) -> int:
    """How many elements are worked on at a time."""
    import tensorflow as tf

    return options.num_parallel or tf.data.AUTOTUNE


def prefetched(dataset: Any, options: Options) -> Any:
    """Prepares the next batches while the model works."""
    import tensorflow as tf

    return shared_by_example(
        dataset.prefetch(tf.data.AUTOTUNE if options.prefetch is None else options.prefetch)
    )


def to_arrays(dataset: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads a whole data set into NumPy arrays.

    Args:
        dataset: A finite, batched data set of `(inputs, labels)`.

    Returns:
        The inputs, an array or a dict of arrays as in the data set, and the labels by task.

    Example:

    ```python
    dataset = mtlkeras.data.load({"x": np.ones((5, 3)), "y": np.arange(5)}, {"y": "y"}, batch_size=2)
    x, y = mtlkeras.data.to_arrays(dataset)  # shapes (5, 3) and {"y": (5,)}
    ```
    """
    import keras

    parts = [keras.tree.map_structure(lambda v: v.numpy(), batch) for batch in dataset]
    if not parts:
        raise ValueError("The data set is empty.")
    return keras.tree.map_structure(lambda *values: np.concatenate(values), *parts)
