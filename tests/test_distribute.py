"""Training on several replicas equals one device on the same global batches."""

import keras
import numpy as np
import pytest

from tests.support import examples, tiny_model

pytestmark = pytest.mark.tensorflow


def mirrored():
    import tensorflow as tf

    # Collectives of differently shaped models cannot follow each other in one process.
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)


def trained(strategy, weights, count, missing=0.5, **fit_args):
    import contextlib

    x, y = examples(count, missing=missing, seed=1)
    y["kind"][:6] = -1  # The first replica's part of the first batch has no label for `kind`.
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = tiny_model(
            l2=0.01, optimizer=keras.optimizers.SGD(0.3, momentum=0.9), loss_weights={"kind": 2.0}
        )
    model.set_weights(weights)
    history = model.fit(x, y, batch_size=12, epochs=3, shuffle=False, verbose=0, **fit_args).history
    return model.get_weights(), history, model.evaluate(x, y, batch_size=12, verbose=0, return_dict=True)


@pytest.mark.parametrize("count", [24, 23], ids=["even", "uneven_last_batch"])
def test_two_replicas_equal_one_device(count):
    weights = tiny_model().get_weights()
    alone, alone_history, alone_logs = trained(None, weights, count)
    together, history, logs = trained(mirrored(), weights, count)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert history.keys() == alone_history.keys()
    for name in history:
        np.testing.assert_allclose(history[name], alone_history[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for name, value in alone_logs.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_sample_weights_count_over_the_whole_batch():
    weights = tiny_model().get_weights()
    rng = np.random.default_rng(2)
    sample_weight = {
        "kind": (rng.random(24) < 0.5).astype("float32"),
        "size": rng.random(24).astype("float32"),
    }
    alone, _, _ = trained(None, weights, 24, sample_weight=sample_weight)
    together, _, _ = trained(mirrored(), weights, 24, sample_weight=sample_weight)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
