"""What replicas do with overflows and small batches, and what they refuse."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression
from tests.distribute.test_equality import mirrored
from tests.support import examples, tiny_model

pytestmark = pytest.mark.tensorflow


def two_replicas(optimizer, **compile_args):
    with mirrored().scope():
        return tiny_model({"kind": Classification(3)}, optimizer=optimizer(), **compile_args)


def fit(model, count=12, x=None, batch_size=12):
    inputs, y = examples(count)
    return model.fit(
        inputs if x is None else x, {"kind": y["kind"]}, batch_size=batch_size, shuffle=False, verbose=0
    )


def test_overflow_on_one_replica_skips_the_step_on_all():
    sgd = keras.optimizers.SGD
    model = two_replicas(lambda: keras.optimizers.LossScaleOptimizer(sgd(0.1), initial_scale=64.0))
    before = model.get_weights()
    x, _ = examples(12)
    x[-1] = np.inf  # In the second replica's part only.
    fit(model, x=x)
    for weight, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    assert keras.ops.convert_to_numpy(model.optimizer.dynamic_scale) == 32.0


def test_several_steps_an_execution_equal_single_ones():
    weights = []
    for steps in (1, 2):
        keras.utils.set_random_seed(0)
        model = two_replicas(lambda: keras.optimizers.SGD(0.1, clipvalue=0.01), steps_per_execution=steps)
        fit(model, batch_size=4)
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6, rtol=0)


def test_batch_normalisation_needs_a_row_on_every_replica():
    with mirrored().scope():
        trunk = mtlkeras.trunks.MLP(depth=1, width=4, normalization="batch")
        model = mtlkeras.build_model((4,), trunk, {"kind": Classification(3)})
        model.compile("sgd")
    with pytest.raises(ValueError, match="fewer examples than there are replicas"):
        model.fit(np.ones((5, 4)), {"kind": np.zeros(5, int)}, batch_size=4, verbose=0)


@pytest.mark.slow
def test_last_batch_of_one_row_equals_one_device():
    x, y = examples(13, missing=0.2)
    heads = {"kind": Classification(3), "size": Regression(num_targets=2)}
    y = {task: y[task] for task in heads}
    found = []
    for scope in (contextlib.nullcontext, mirrored().scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = tiny_model(heads, optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
        logs = model.fit(x, y, batch_size=12, epochs=3, shuffle=False, verbose=0, validation_data=(x, y))
        outputs = model.predict(x, batch_size=12, verbose=0)
        assert len(outputs["kind"]) == 13
        found.append([*model.get_weights(), *outputs.values(), *map(np.asarray, logs.history.values())])
    for alone, together in zip(*found, strict=True):
        np.testing.assert_allclose(together, alone, atol=2e-6, rtol=1e-5)


def test_optimizer_of_another_scope_is_refused():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="outside of the strategy's scope"):
        two_replicas(lambda: optimizer)


@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        ({"gradient_accumulation_steps": 2}, {}, "gradient_accumulation_steps does not work"),
        ({}, {"jit_compile": True}, "jit_compile=True does not work"),
    ],
)
def test_setting_that_replicas_cannot_do_is_refused(optimizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        two_replicas(lambda: keras.optimizers.SGD(0.1, **optimizer), **arguments)


@pytest.mark.slow  # What fails is waited for.
def test_several_steps_are_refused_where_they_fail():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = tiny_model({"kind": Classification(3)})
    model.steps_per_execution = 2
    with pytest.raises(ValueError, match="steps_per_execution=2 does not work"):
        fit(model)
