"""Random changes to training examples that repeat: a function of seed, epoch and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlkeras._types import Dataset
from mtlkeras.data._changes_in_turn import Change, in_turn
from mtlkeras.data.order import EpochOrder, attach_order


def augment(
    dataset: Dataset, function: Change | keras.layers.Layer | Sequence[Any], seed: int = 0
) -> Dataset:
    """Applies random changes to each batch of a data set.

    The function's randomness comes from a seed that differs from batch to batch and from
    epoch to epoch. A run that is resumed sees the pictures that it would have seen: `set_epoch`
    sets the epoch here as well.

    Args:
        dataset: A batched data set of `(inputs, labels)`.
        function: Takes inputs, labels and a seed, and returns inputs and labels; `Flip`, `Shift`,
            `CutOut`, `MixUp` and `CutMix` are such. The seed is an int64 number for the functions
            `tf.random.stateless_*`, as in `seed=[seed, 0]`. Or a preprocessing layer of Keras, which
            changes the pictures; or several of these, one after the other.
        seed: Seed of all.

    Returns:
        A data set of the changed batches, as many as before.

    Raises:
        ValueError: If a layer would move pictures away from their labels by pixel, or draws random
            numbers that no seed repeats; or if a change does not fit the inputs or the labels.

    Example:

    ```python
    import tensorflow as tf

    def add_noise(x, y, seed):
        return x + tf.random.stateless_normal(tf.shape(x), [seed, 0]), y

    train = mtlkeras.data.load({"x": np.arange(9.0), "y": np.arange(9)}, {"y": "y"}, "x")
    train = mtlkeras.data.augment(train, add_noise, seed=1)
    ```
    """
    import tensorflow as tf

    order, change_batch = EpochOrder(seed, shuffles=False), in_turn(function)

    def draw(_: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(order.draw_seeds, [], tf.int64), (2,))

    def of_epoch(drawn: Any) -> Any:
        return tf.data.Dataset.counter().map(lambda step: (drawn[0], step))

    def change(batch: tuple[Any, Any], place: tuple[Any, Any]) -> tuple[Any, Any]:
        epoch, step = place
        drawn = tf.random.stateless_uniform((), [epoch, step], minval=None, maxval=None, dtype=tf.int64)
        return change_batch(*batch, drawn)

    seeds = attach_order(tf.data.Dataset.from_tensors(0).map(draw).flat_map(of_epoch), order)
    changed = tf.data.Dataset.zip(dataset, seeds).map(change, num_parallel_calls=tf.data.AUTOTUNE)
    return changed.apply(tf.data.experimental.assert_cardinality(dataset.cardinality())).prefetch(2)
