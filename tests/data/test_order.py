"""The order of examples is a function of seed and epoch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtlkeras.data import augment, load, set_epoch


def rows(seed=0, count=50, **options):
    return load({"x": np.arange(count), "y": np.zeros(count)}, {"t": "y"}, "x", seed=seed, **options)


def order(dataset):
    return [int(i) for x, _ in dataset for i in x[:, 0]]


def test_reshuffles_each_epoch_and_repeats():
    first, second = rows(shuffle=True), rows(shuffle=True)
    epochs = [order(first) for _ in range(3)]
    keras.utils.set_random_seed(123)
    assert [order(second) for _ in range(3)] == epochs
    assert len({tuple(e) for e in epochs}) == 3
    assert all(sorted(e) == list(range(50)) for e in epochs)
    assert order(rows(seed=1, shuffle=True)) != epochs[0]


def test_epoch_can_be_set():
    dataset = rows(shuffle=True)
    epochs = [order(dataset) for _ in range(3)]
    resumed = rows(shuffle=True).map(lambda x, y: (x, y)).prefetch(1)
    assert set_epoch(resumed, 2)
    assert order(resumed) == epochs[2]
    assert not set_epoch(rows(shuffle=False), 2)


@pytest.mark.parametrize(
    ("split", "shuffle", "shuffled"),
    [
        ("train", None, True),
        ("test", None, False),
        (None, None, False),
        ("train", False, False),
        ("test", True, True),
    ],
)
def test_only_training_splits_are_shuffled_by_default(split, shuffle, shuffled):
    source = {"x": np.arange(50), "y": np.zeros(50), "split": [split or "train"] * 50}
    dataset = load(source, {"t": "y"}, "x", split=split, shuffle=shuffle)
    assert (order(dataset) != list(range(50))) == shuffled


def test_fit_sees_every_example_each_epoch():
    seen = []

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["size"])

    inputs = keras.Input((1,))
    model = keras.Model(inputs, {"t": keras.layers.Dense(1, use_bias=False)(inputs)})

    class Size(keras.metrics.Sum):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(keras.ops.ones_like(y_pred))

    model.compile("sgd", {"t": "mse"}, metrics={"t": Size(name="size")})
    dataset = rows(shuffle=True, batch_size=16)
    history = model.fit(dataset, epochs=2, verbose=0, shuffle=False)
    assert next(v for k, v in history.history.items() if k.endswith("size")) == [50, 50]


def test_augmentation_repeats_by_seed_and_epoch():
    def mark(x, y, seed):
        return tf.fill(tf.shape(x), tf.random.stateless_uniform((), [seed, 0])), y

    def drawn(dataset):
        return [float(x[0, 0]) for x, _ in dataset]

    def make(seed=3):
        return augment(rows(count=12, batch_size=4, shuffle=True), mark, seed)

    first = make()
    epochs = [drawn(first) for _ in range(3)]
    assert int(first.cardinality()) == 3
    assert len({value for epoch in epochs for value in epoch}) == 9
    resumed = make()
    assert set_epoch(resumed, 2)
    assert drawn(resumed) == epochs[2]
    assert drawn(make(seed=4)) != epochs[0]


def test_epoch_is_set_for_order_and_augmentation():
    def shift(x, y, seed):
        return tf.cast(x, "float32") + tf.random.stateless_uniform((), [seed, 0], -0.4, 0.4), y

    first, resumed = (augment(rows(shuffle=True), shift) for _ in range(2))
    epochs = [[float(v) for x, _ in first for v in x[:, 0]] for _ in range(2)]
    set_epoch(resumed, 1)
    assert [float(v) for x, _ in resumed for v in x[:, 0]] == epochs[1]
