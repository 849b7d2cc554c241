"""A mix of `tf.data.Dataset`s: every epoch a reading of its sources from where the last one ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._types import Dataset
from mtlkeras.data._mix.allocation import row_places
from mtlkeras.data._mix.forms import MixForm, SourceForm
from mtlkeras.data._mix.mixture import Mixture, Source, attach_mixture
from mtlkeras.data._mix.tensors import Rows, batched, completer
from mtlkeras.data._sharding import shared_by_example
from mtlkeras.data.order import EpochOrder, attach_order, find_orders, find_tail, shuffled_stream
from mtlkeras.data.report import find_report

_BUFFER_BYTES = 256 * 2**20
_LONG = 64  # What stands for the size of an axis that has none of its own.


def measured(name: str, dataset: Dataset, tasks: tuple[str, ...]) -> tuple[Source, bool]:
    """Returns what a source holds, and whether all of its batches but the last are of one size.

    The number of examples is known of a data set that `load` made; any other is read once.

    Raises:
        ValueError: If it is empty.
    """
    import tensorflow as tf

    orders = find_orders(dataset)
    kept = [order.epoch for order in orders]
    sizes = dataset.map(lambda *batch: tf.shape(tf.nest.flatten(batch)[0])[0])
    batches = int(dataset.cardinality())
    first = int(next(iter(sizes.take(1).as_numpy_iterator()), 0))
    if not first:
        raise ValueError(f"mix: source '{name}' has no examples.")
    known = getattr(find_report(dataset), "examples", None)
    if batches == tf.data.INFINITE_CARDINALITY:
        found, even = Source(name, tasks, None, first, None), True
    elif known is not None and (batches - 1) * first < known <= batches * first:
        found, even = Source(name, tasks, known, first, batches), True
    else:
        all_sizes = [int(size) for size in sizes.as_numpy_iterator()]
        even = set(all_sizes[:-1]) <= {first} and all_sizes[-1] <= first
        largest, examples = max(all_sizes), sum(all_sizes)
        batches = len(all_sizes) if even else -(-examples // largest)
        found = Source(name, tasks, examples, largest, batches)
    for order, epoch in zip(orders, kept, strict=True):
        order.epoch = epoch
    return found, even


@dataclasses.dataclass
class Stream:
    """The completed batches of one source, which can be read from any place on.

    Args:
        source: What is known of the source.
        whole: The batches of one pass, in an order that is another one in each pass.
        orders: What draws the orders of the passes.
        tail: Gives the rest of a pass from an example on, in batches, if that can be had without reading
            what comes before.
    """

    source: Source
    whole: Dataset
    orders: Sequence[Any]
    tail: Callable[[Any], Dataset] | None

    def batches_from(self, start: Any) -> Dataset:
        """Returns all batches from one on, those of the passes after that as well."""
        rest = self.tail(start * self.source.batch_size) if self.tail else self.whole.skip(start)
        return rest if self.source.batches is None else rest.concatenate(self.whole.repeat())

    def rows_from(self, start: Any, sizes: Any, rows: Rows) -> Dataset:
        """Returns the rows from one on, taken apart, in parts of the sizes."""
        import tensorflow as tf

        size = self.source.batch_size
        parts = self.batches_from(start // size)
        if rows.are_encoded:
            parts = parts.map(tf.autograph.experimental.do_not_convert(rows.taken_apart))
        return parts.rebatch(tf.concat([start[None] % size, sizes], 0)).skip(1)


def stream(
    dataset: Dataset, source: Source, even: bool, form: SourceForm, mix: MixForm, seed: int | None
) -> Stream:
    """Returns the stream of a source; with a seed, it is shuffled unless it shuffles itself.

    Args:
        dataset: The source.
        source: What `measured` found in it.
        even: Whether its batches are of one size, as `measured` says. Others are cut anew.
        form: What its batches hold.
        mix: What the batches of the mix hold.
        seed: Seed of its shuffling.
    """
    import tensorflow as tf

    complete = completer(source.name, form, mix)

    def completed(batches: Dataset) -> Dataset:
        # So little work that handing it to another thread, as TensorFlow would, costs more.
        return batches.map(complete, synchronous=True)

    whole, tail, orders = completed(dataset), find_tail(dataset), find_orders(dataset)
    settled = seed is None or source.batches is None or any(order.shuffles for order in orders)
    if settled and even:
        return Stream(source, whole, orders, None if tail is None else lambda start: completed(tail(start)))
    rows = whole.unbatch()
    if not settled:
        rows = shuffled_stream(rows, _buffer(rows, source.examples or 0), EpochOrder(seed or 0))
    whole = batched(rows, source.batch_size, mix)
    whole = whole.apply(tf.data.experimental.assert_cardinality(source.batches)).prefetch(2)
    orders = find_orders(whole)
    return Stream(source, whole, orders, lambda start: batched(rows.skip(start), source.batch_size, mix))


def _buffer(rows: Dataset, examples: int) -> int:
    """Returns how many rows are held to be shuffled."""
    import tensorflow as tf

    size = sum(
        int(np.prod([n or _LONG for n in spec.shape])) * max(spec.dtype.size, 1)
        for spec in tf.nest.flatten(rows.element_spec)
    )
    return max(1, min(_BUFFER_BYTES // max(size, 1), examples))


def mixed_stream(
    streams: Mapping[str, Stream], mixture: Mixture, mix: MixForm, batch_size: int | None
) -> Dataset:
    """Returns the mixed data set; with a batch size, each batch has examples of several sources."""
    import tensorflow as tf

    plainly = tf.autograph.experimental.do_not_convert  # There is nothing to convert, which takes its time.
    parts = list(streams.values())

    def draw() -> tuple[np.ndarray, ...]:
        reading = mixture.next_reading()
        if mixture.shuffles:
            for one, passed in zip(parts, reading.passes.tolist(), strict=True):
                for order in one.orders:
                    order.epoch = passed
        if batch_size is None:
            return reading.starts, reading.order, np.zeros((0, len(parts)), np.int64)
        counts, places = row_places(reading.order, batch_size, len(parts))
        return reading.starts, places, counts

    def drawn(_: Any) -> tuple[Any, ...]:
        starts, order, counts = tf.numpy_function(draw, [], [tf.int64] * 3)
        shapes = (len(parts),), (None,), (None, len(parts))
        return tuple(map(tf.ensure_shape, (starts, order, counts), shapes))

    def whole_batches(starts: Any, order: Any, counts: Any) -> Dataset:
        read = [one.batches_from(starts[k]) for k, one in enumerate(parts)]
        chosen = tf.data.Dataset.from_tensor_slices(order)
        return tf.data.Dataset.choose_from_datasets(read, chosen, stop_on_empty_dataset=False)

    def mixed_batches(starts: Any, places: Any, counts: Any) -> Dataset:
        rows = Rows(parts[0].whole.element_spec, mix)
        read = [one.rows_from(starts[k], counts[:, k], rows) for k, one in enumerate(parts)]
        placed = tf.data.Dataset.from_tensor_slices(places).batch(batch_size)
        zipped = tf.data.Dataset.zip(placed, *read)
        return zipped.map(plainly(rows.joined), num_parallel_calls=tf.data.AUTOTUNE)

    read = whole_batches if batch_size is None else mixed_batches
    mixed = tf.data.Dataset.from_tensors(0).map(plainly(drawn)).flat_map(plainly(read))
    mixed = mixed.apply(tf.data.experimental.assert_cardinality(mixture.steps))
    mixed = shared_by_example(mixed.prefetch(tf.data.AUTOTUNE))
    return attach_mixture(attach_order(mixed, mixture), mixture)
