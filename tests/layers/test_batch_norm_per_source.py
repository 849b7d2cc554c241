"""Batch statistics of several sources: `BatchNormalizationPerSource`, and trunks that have it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Regression
from mtlkeras.layers import BatchNormalizationPerSource
from mtlkeras.trunks import MLP, VGG, AlexNet, GoogLeNet, ResNet

SLOW = [GoogLeNet(width=4), VGG(11, width=2, fc_units=4), ResNet(50, width=2)]


def values(shape, source, seed=0):
    """Values whose mean and scale depend on the source."""
    x = np.random.default_rng(seed).normal(size=shape)
    at = np.reshape(source, (-1, *[1] * (len(shape) - 1)))
    return (x * (1 + 2 * at) + 10 * at).astype("float32")


@pytest.mark.parametrize("shape", [pytest.param((9, 4), marks=pytest.mark.slow_on_jax), (9, 3, 2, 4)])
def test_a_step_is_that_of_keras_on_each_source_alone(shape):
    source = np.array([0, 2, 0, 2, 2, 0, 0, 2, 2])  # Source 1 has no example.
    layer = BatchNormalizationPerSource(3, momentum=0.8, epsilon=1e-3)
    x = values(shape, source)
    found = np.asarray(layer([x, source], training=True))
    later = np.asarray(layer([x, source]))
    for number in (0, 2):
        alone = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3)
        rows = source == number
        np.testing.assert_allclose(found[rows], alone(x[rows], training=True), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(later[rows], alone(x[rows]), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(layer.moving_mean[number], alone.moving_mean, rtol=1e-5)
        np.testing.assert_allclose(layer.moving_variance[number], alone.moving_variance, rtol=1e-4)
    assert (np.asarray(layer.moving_mean[1]) == 0).all() and (np.asarray(layer.moving_variance[1]) == 1).all()


def test_an_example_of_no_known_source_has_the_statistics_of_all_and_moves_none():
    layer = BatchNormalizationPerSource(2, epsilon=0.0)
    layer.build([(None, 1), (None,)])
    layer.moving_mean.assign(np.array([[0.0], [10.0]]))
    layer.moving_variance.assign(np.array([[1.0], [25.0]]))
    x, source = np.array([[5.0], [11.0]], "float32"), np.array([-1, 2])
    # Of N(0, 1) and N(10, 25) in equal shares: mean 5, variance (1 + 25) / 2 + 25.
    expected = [[0.0], [6.0 / np.sqrt(38.0)]]
    for training in (False, True):
        np.testing.assert_allclose(layer([x, source], training=training), expected, rtol=1e-5, atol=1e-6)
    assert np.asarray(layer.moving_mean).tolist() == [[0.0], [10.0]]


@pytest.mark.slow_on_jax
def test_masked_steps_one_row_no_row_and_a_frozen_layer():
    layer = BatchNormalizationPerSource(2, epsilon=1e-3)
    source, mask = np.array([0, 1, 0]), np.array([[1, 1], [1, 0], [1, 0]], bool)
    x = values((3, 2, 2), source)
    whole = np.asarray(layer([x, source], training=True, mask=[mask, None]))
    steps = x[source == 0][mask[source == 0]]
    expected = (steps - steps.mean(0)) / np.sqrt(steps.var(0) + 1e-3)
    np.testing.assert_allclose(whole[source == 0][mask[source == 0]], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(whole[1, 0], 0.0, atol=1e-5)  # One step alone is its mean.
    x[1, 1] = np.nan  # Behind the mask.
    again = np.asarray(layer([x, source], training=True, mask=[mask, None]))
    np.testing.assert_array_equal(again[mask], whole[mask])
    assert tuple(layer([x[:0], source[:0]], training=True).shape) == (0, 2, 2)
    assert np.isfinite(np.asarray(layer.moving_variance)).all()
    layer.trainable = False
    before = np.asarray(layer.moving_mean)
    np.testing.assert_array_equal(
        np.nan_to_num(layer([x, source], training=True)), np.nan_to_num(layer([x, source]))
    )
    np.testing.assert_array_equal(before, layer.moving_mean)


def test_half_precision_computes_in_float32_and_the_config_travels():
    layer = BatchNormalizationPerSource(2, dtype="mixed_float16", gamma_initializer="zeros", name="n")
    again = BatchNormalizationPerSource.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = np.full((2, 1), 300.0, "float16")  # Its square is no number of half precision.
    found = layer([x, np.zeros(2, "int32")], training=True)
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    np.testing.assert_allclose(layer.moving_mean, [[30.0], [0.0]], rtol=1e-5)
    with pytest.raises(ValueError, match="sources must be a whole number of at least 1; received 0"):
        BatchNormalizationPerSource(0)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "trunk",
    [
        ResNet(8, width=2),
        MLP(depth=2, width=4),
        AlexNet(width=4, fc_units=4),
        *(pytest.param(slow, marks=pytest.mark.slow) for slow in SLOW),
    ],
    ids=lambda t: f"{type(t).__name__}{getattr(t, 'depth', '')}",
)
def test_a_trunk_knows_the_source_of_each_image(trunk):
    trunk = trunk.replace(normalization="batch_per_source", sources=2)
    shape = (4,) if isinstance(trunk, MLP) else (16, 16, 1)
    inputs = {"x": keras.Input(shape, name="x"), "source": keras.Input((), dtype="int32", name="source")}
    model = keras.Model(inputs, trunk(inputs).vector)
    layers = [layer for layer in model.layers if isinstance(layer, BatchNormalizationPerSource)]
    assert layers and not any(isinstance(x, keras.layers.BatchNormalization) for x in model.layers)
    assert all(tuple(layer.moving_mean.shape)[0] == 2 for layer in layers)
    assert "source" in trunk.start(inputs).beside


def gap(layer, with_source):
    """Returns how far inference is from training where batches of N(0, 1) and N(10, 25) take turns."""
    rng = np.random.default_rng(0)
    for step in range(16):
        number = step % 2
        x = rng.normal(10 * number, 1 + 4 * number, (1000, 4)).astype("float32")
        given = [x, np.full(1000, number)] if with_source else x
        trained = np.asarray(layer(given, training=True))
    return float(np.abs(trained - np.asarray(layer(given))).mean())


@pytest.mark.slow_on_jax
def test_the_gap_between_training_and_inference_closes():
    assert gap(keras.layers.BatchNormalization(momentum=0.5), False) > 0.3
    assert gap(BatchNormalizationPerSource(2, momentum=0.5), True) < 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(normalization="batch_per_source"), "MLP: .* needs sources="),
        (lambda: ResNet(8, normalization="batch_per_source", sources=0), "sources must be a whole number"),
        (lambda: built((4,)), "reads the source of each example from an input named 'source'"),
        (lambda: built({"source": keras.Input((), dtype="int32", name="source")}), "beside the others"),
        (
            lambda: built({"x": (4,), "source": keras.Input((), name="source")}),
            "input 'source' must be a whole number an example",
        ),
        (
            lambda: built({"x": (4,), "source": keras.Input((3,), dtype="int32", name="source")}),
            r"must be a whole number an example, of shape \(\)",
        ),
    ],
)
def test_wrong_sources(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def built(inputs):
    trunk = MLP(normalization="batch_per_source", sources=2)
    return mtlkeras.build_model(inputs, trunk, {"y": Regression()})
