"""The order of examples: a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlkeras._types import Dataset
from mtlkeras.data._sequences import grouped_by_length
from mtlkeras.data.report import attach, find_all

_ORDER = "_mtlkeras_order"
_TAIL = "_mtlkeras_tail"


class EpochOrder:
    """Counts the epochs of one data set and draws the order of each.

    The epoch is the number of times that reading began, from 0, unless `set_epoch` says
    otherwise.

    Args:
        seed: Seed of all orders.
        shuffles: Whether it orders the examples; else it draws other things anew in each epoch.
    """

    def __init__(self, seed: int, shuffles: bool = True) -> None:
        self.seed = seed
        self.shuffles = shuffles
        self.epoch = 0

    def permutation(self, length: int) -> np.ndarray:
        """Draws the order of the next epoch."""
        return np.random.default_rng(self._next()).permutation(length)

    def grouped(self, lengths: np.ndarray, batch_size: int) -> np.ndarray:
        """Draws an order in which each batch has rows of like length; see `grouped_by_length`."""
        random = np.random.default_rng(self._next())
        return grouped_by_length(random.permutation(len(lengths)), lengths, batch_size, random)

    def draw_seeds(self) -> np.ndarray:
        """Draws the two seeds of the next epoch's shuffling."""
        return np.random.default_rng(self._next()).integers(1, 2**62, 2)

    def _next(self) -> list[int]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return [self.seed, epoch]


def attach_order(dataset: Any, order: Any) -> Dataset:
    """Puts on a data set what has its `epoch`, for `set_epoch` to find."""
    return attach(dataset, _ORDER, order)


def find_orders(dataset: Dataset) -> list[Any]:
    """Returns what draws the orders of a data set and of those that it was made of."""
    return find_all(dataset, _ORDER)


def attach_tail(dataset: Dataset, tail: Callable[[Any], Dataset]) -> Dataset:
    """Puts on a data set what gives the rest of an epoch from an example on, without reading those before."""
    return attach(dataset, _TAIL, tail)


def find_tail(dataset: Dataset) -> Callable[[Any], Dataset] | None:
    """Returns what `attach_tail` put on this very data set; one made from it may have other batches."""
    return getattr(dataset, _TAIL, None)


def shuffled_range(
    length: int, order: EpochOrder, lengths: np.ndarray | None = None, batch_size: int = 1
) -> Dataset:
    """A data set of `0 .. length - 1`, in a new order in each epoch.

    With the `lengths` of the rows, batches of `batch_size` hold rows of like length.
    """
    import tensorflow as tf

    def draw_order() -> np.ndarray:
        return order.permutation(length) if lengths is None else order.grouped(lengths, batch_size)

    def rest(start: Any) -> Dataset:
        drawn = tf.ensure_shape(tf.numpy_function(draw_order, [], tf.int64), (length,))
        return tf.data.Dataset.from_tensor_slices(drawn[start:])

    numbers = tf.data.Dataset.from_tensors(0).flat_map(lambda _: rest(0))
    numbers = numbers.apply(tf.data.experimental.assert_cardinality(length))
    return attach_tail(attach_order(numbers, order), rest)


def shuffled_stream(stream: Dataset, buffer: int, order: EpochOrder) -> Dataset:
    """A stream shuffled within a buffer, in a new order in each epoch."""
    import tensorflow as tf

    def draw(_: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(order.draw_seeds, [], tf.int64), (2,))

    def shuffle(seeds: Any) -> Any:
        # Dataset.shuffle would mix in TensorFlow's global seed.
        specs = tf.nest.flatten(stream.element_spec)
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(stream),
            buffer_size=buffer,
            seed=seeds[0],
            seed2=seeds[1],
            output_types=[spec.dtype for spec in specs],
            output_shapes=[spec.shape for spec in specs],
            reshuffle_each_iteration=False,
        )
        return tf.data.experimental.from_variant(shuffled, stream.element_spec)

    cardinality = int(stream.cardinality())
    shuffled = tf.data.Dataset.from_tensors(0).map(draw).flat_map(shuffle)
    if cardinality >= 0:
        shuffled = shuffled.apply(tf.data.experimental.assert_cardinality(cardinality))
    return attach_order(shuffled, order)


def set_epoch(dataset: Dataset, epoch: int) -> bool:
    """Sets which epoch's order the next reading of a shuffled data set has.

    A run that is resumed at epoch 7 sees the examples in the order of epoch 7. Without it a
    data set counts from 0 how often reading began.

    Args:
        dataset: A data set made by `mtlkeras.data.load`, `mix` or `augment`, or one made from it.
        epoch: Number of the epoch, from 0.

    Returns:
        Whether the data set has an order that changes with the epoch.

    Example:

    ```python
    train = mtlkeras.data.load({"x": np.arange(9.0), "y": np.arange(9)}, {"y": "y"}, shuffle=True)
    mtlkeras.data.set_epoch(train, 7)  # before model.fit(train, initial_epoch=7, ...)
    ```
    """
    orders = find_orders(dataset)
    for order in orders:
        order.epoch = epoch
    return bool(orders)
