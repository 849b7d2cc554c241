"""Measuring the training step leaves no trace."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.training import measure_steps

pytestmark = pytest.mark.tensorflow


def model():
    built = mtlkeras.build_model(
        (4,),
        mtlkeras.trunks.MLP(depth=1, width=4, dropout=0.5, normalization="batch"),
        {"y": mtlkeras.heads.Regression()},
    )
    built.compile("adam")
    return built


def data(batches=6):
    rng = np.random.default_rng(0)
    rows = {"x": rng.normal(size=(8 * batches, 4)).astype("float32"), "y": rng.normal(size=8 * batches)}
    return mtlkeras.data.load(rows, {"y": "y"}, "x", batch_size=8)


@pytest.mark.slow
def test_undoes_the_steps_and_sorts_by_time():
    measured, untouched = model(), model()
    untouched.set_weights(measured.get_weights())
    times = measure_steps(measured, data(), steps_per_execution=(1, 3), steps=6)
    assert {(t.jit_compile, t.steps_per_execution) for t in times} == {
        (jit, width) for jit in (False, True) for width in (1, 3)
    }
    assert [t.milliseconds for t in times] == sorted(t.milliseconds for t in times)
    assert all(0 < t.milliseconds < 1e5 for t in times)
    assert int(measured.optimizer.iterations) == 0
    for mine, theirs in zip(measured.weights, untouched.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert (bool(measured.jit_compile), measured.steps_per_execution) == (False, 1)
    history = measured.fit(data(), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all() and int(measured.optimizer.iterations) == 6


def test_too_few_batches():
    with pytest.raises(ValueError, match="has 2 batches, too few for steps_per_execution of 4"):
        measure_steps(model(), data(2), steps_per_execution=(4, 8))


@keras.saving.register_keras_serializable("tests")
class NotForXla(keras.layers.Layer):
    """Goes through Python, which XLA cannot compile."""

    def call(self, inputs):
        import tensorflow as tf

        return tf.ensure_shape(tf.numpy_function(np.copy, [inputs], tf.float32), inputs.shape) + 0 * inputs


def test_what_xla_refuses_comes_last():
    inputs = keras.Input((4,))
    trunk = keras.Model(inputs, keras.layers.Dense(3)(NotForXla()(inputs)))
    built = mtlkeras.build_model(keras.Input((4,)), trunk, {"y": mtlkeras.heads.Regression()})
    built.compile("sgd")
    times = measure_steps(built, data(2), steps_per_execution=(1,), steps=2)
    assert [t.jit_compile for t in times] == [False, True]
    assert times[1].milliseconds == float("inf")
