"""From arrays to batches: shuffle, gather, decode, prefetch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras._types import Dataset
from mtlkeras.data._images import Pictures
from mtlkeras.data._inputs import Inputs
from mtlkeras.data._masks import MaskFiles
from mtlkeras.data._options import Options
from mtlkeras.data._sequences import Sequences, joined
from mtlkeras.data._sharding import shared_by_example
from mtlkeras.data.order import EpochOrder, attach_tail, find_tail, shuffled_range


def batches_of_rows(
    arrays: Mapping[str, Any], labels: Mapping[str, Any], inputs: Inputs, options: Options
) -> Dataset:
    """Makes the data set of rows that are at hand.

    Args:
        arrays: An array with one entry a row, `Sequences`, or settled `Pictures`, by input name.
        labels: The label arrays, `Sequences` or `MaskFiles` by task.
        inputs: How the inputs are packed.
        options: Arguments of `load`.
    """
    import tensorflow as tf

    length = len(next(iter(labels.values())))
    lengths = _lengths(arrays) if options.group_by_length else None
    rows = (
        shuffled_range(length, EpochOrder(options.seed), lengths, options.batch_size)
        if options.shuffled
        else tf.data.Dataset.range(length)
    )
    files = {name: value for name, value in arrays.items() if isinstance(value, Pictures)}
    masks = {task: value for task, value in labels.items() if isinstance(value, MaskFiles)}
    with tf.device("CPU:0"):
        held = {name: _Held(value, options) for name, value in arrays.items() if name not in files}
        answers = {task: _Held(value, options) for task, value in labels.items() if task not in masks}

    def gather(batch: Any, decoded: dict[str, Any], found: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = {name: decoded[name] if name in files else held[name].gather(batch) for name in arrays}
        y = {task: found[task] if task in masks else answers[task].gather(batch) for task in labels}
        return inputs.packed(x), y

    def batches(rows: Dataset) -> Dataset:
        elements = rows.map(lambda row: (row, {}, {}))
        if files or masks:
            elements = rows.map(
                lambda row: (row, _decoded(files, row, options), _decoded_masks(masks, row)),
                num_parallel_calls=parallel(options),
            )
        # Whole batches are gathered at once, which costs far less than one row at a time.
        elements = elements.batch(options.batch_size, drop_remainder=options.drop_remainder)
        return prefetched(elements.map(gather, num_parallel_calls=parallel(options)), options)

    rest = find_tail(rows)
    dataset = batches(rows)
    return attach_tail(dataset, lambda start: batches(rest(start))) if rest else dataset


class _Held:
    """Values with one entry a row, as tensors."""

    def __init__(self, value: Any, options: Options) -> None:
        import tensorflow as tf

        self._value, self._multiple = value, options.pad_multiple
        self._tensor = value.ragged() if isinstance(value, Sequences) else tf.constant(value)

    def gather(self, batch: Any) -> Any:
        import tensorflow as tf

        if isinstance(self._value, Sequences):
            return self._value.gather(self._tensor, batch, self._multiple)
        return tf.gather(self._tensor, batch)


def _lengths(arrays: Mapping[str, Any]) -> np.ndarray:
    found = next((value.lengths for value in arrays.values() if isinstance(value, Sequences)), None)
    if found is None:
        raise ValueError("group_by_length=True needs an input of tokens, which are of different number.")
    return found


def _decoded(files: Mapping[str, Pictures], row: Any, options: Options) -> dict[str, Any]:
    import tensorflow as tf

    def decode(pictures: Pictures) -> Any:
        # Decoding runs in Python, so that the error for a bad file can name it.
        picture = tf.numpy_function(
            lambda r: pictures.checked(int(r), options.image_size is not None), [row], tf.uint8
        )
        return tf.ensure_shape(picture, pictures.shape)

    return {name: decode(pictures) for name, pictures in files.items()}


def _decoded_masks(masks: Mapping[str, MaskFiles], row: Any) -> dict[str, Any]:
    import tensorflow as tf

    def decode(files: MaskFiles) -> Any:
        mask = tf.numpy_function(lambda r: files.decode(int(r)), [row], tf.int32)
        return tf.ensure_shape(mask, files.shape[1:])

    return {task: decode(files) for task, files in masks.items()}


def parallel(options: Options) -> int:
    """How many elements are worked on at a time."""
    import tensorflow as tf

    return options.num_parallel or tf.data.AUTOTUNE


def prefetched(dataset: Dataset, options: Options) -> Dataset:
    """Prepares the next batches while the model works."""
    import tensorflow as tf

    return shared_by_example(
        dataset.prefetch(tf.data.AUTOTUNE if options.prefetch is None else options.prefetch)
    )


def to_arrays(dataset: Dataset) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads a whole data set into NumPy arrays.

    Args:
        dataset: A finite, batched data set of `(inputs, labels)`.

    Returns:
        The inputs, an array or a dict of arrays as in the data set, and the labels by task.
        Tokens and tags are padded to the longest sentence of all.

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
    x, y = zip(*parts, strict=True)
    return (
        keras.tree.map_structure(lambda *values: joined(values), *x),
        keras.tree.map_structure(lambda *values: joined(values, MISSING), *y),
    )
