"""Processes that train together see each example once, in the batches of a single process."""

from __future__ import annotations

import numpy as np
import pytest

import mtlkeras
from tests.data.toy_builder import ToyFruit

pytestmark = pytest.mark.tensorflow
WORKERS, BATCH = 2, 4


def share_of(dataset, worker):
    """The batches that one of two processes reads, as `MultiWorkerMirroredStrategy` makes them."""
    # There is no public way to be a worker without its peers.
    from tensorflow.python.data.experimental.ops import distribute
    from tensorflow.python.distribute import input_ops

    parts = distribute.batch_sizes_for_worker(BATCH, WORKERS, 1, worker)
    return input_ops.auto_shard_dataset(dataset.rebatch(parts), WORKERS, worker, WORKERS)


def numbers(dataset, epoch):
    mtlkeras.data.set_epoch(dataset, epoch)
    return [x.numpy().ravel() for x, _ in dataset]


def assert_shared(dataset):
    for epoch in (0, 1):
        whole = numbers(dataset, epoch)
        parts = [numbers(share_of(dataset, worker), epoch) for worker in range(WORKERS)]
        steps = [np.concatenate(step) for step in zip(*parts, strict=True)]
        assert len(steps) == len(whole)
        for step, batch in zip(steps, whole, strict=True):
            np.testing.assert_array_equal(step, batch)


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_is_shared_by_example(shuffle):
    arrays = {"x": np.arange(11.0), "y": np.arange(11)}
    assert_shared(mtlkeras.data.load(arrays, {"y": "y"}, "x", batch_size=BATCH, shuffle=shuffle, seed=3))


def test_a_mix_is_shared_by_example():
    def source(name, first):
        arrays = {"x": np.arange(first, first + 9.0), name: np.arange(9)}
        return mtlkeras.data.load(arrays, {name: name}, "x", batch_size=BATCH, shuffle=True)

    assert_shared(mtlkeras.data.mix({"a": source("a", 0), "b": source("b", 100)}, within="batch"))


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    import tensorflow_datasets as tfds

    builder = ToyFruit(data_dir=tmp_path_factory.mktemp("shards"))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=4))
    return builder


@pytest.mark.parametrize("cache", [True, False], ids=["cached", "stream"])
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in_order"])
def test_files_are_shared_by_example(builder, shuffle, cache):
    assert_shared(
        mtlkeras.data.load(
            builder,
            {"grade": "grade"},
            "weight",
            split="train",
            batch_size=BATCH,
            shuffle=shuffle,
            cache=cache,
        )
    )
