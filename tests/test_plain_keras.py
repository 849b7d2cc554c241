"""Faults that users of multi-output Keras meet: each shown on plain Keras, and not here.

The first half of a test pins what plain Keras does; when it mends something, that half fails
and tells us. The numbers in a comment are those of the Keras issues where users met it.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression

pytestmark = pytest.mark.eager

X = np.linspace(-1.0, 1.0, 8, dtype="float32")[:, None]
A = np.linspace(0.0, 7.0, 8, dtype="float32")[:, None]
B = np.linspace(3.0, -4.0, 8, dtype="float32")[:, None]
LABELS = {"a": A, "b": B}


def _body():
    inputs = keras.Input((1,), name="x")
    body = keras.layers.Dense(3, kernel_initializer="ones", name="body")(inputs)
    return inputs, body


def plain(as_list=False, **compile_args):
    """Two linear outputs on a shared layer, in plain Keras."""
    inputs, body = _body()
    outputs = {t: keras.layers.Dense(1, kernel_initializer="ones", name=t)(body) for t in ("a", "b")}
    model = keras.Model(inputs, [outputs["b"], outputs["a"]] if as_list else outputs)
    model.compile(keras.optimizers.SGD(0.0), **{"loss": {"a": "mse", "b": "mse"}, **compile_args})
    return model


def ours(heads=None, **compile_args):
    """The same network as a `MultiTaskModel`."""
    inputs, body = _body()
    model = mtlkeras.build_model(
        keras.Input((1,), name="x"),
        keras.Model(inputs, body),
        heads or {"a": Regression(), "b": Regression()},
    )
    for layer in model.layers:
        if layer.name in ("a_logits", "b_logits") and layer.units == 1:
            layer.set_weights([np.ones((3, 1)), np.zeros(1)])
    model.compile(keras.optimizers.SGD(0.0), **compile_args)
    return model


def evaluated(model, y=LABELS, **arguments):
    return model.evaluate(X, y, verbose=0, return_dict=True, **arguments)


PREDICTED = 3.0 * X
ERROR = {task: ((PREDICTED - y) ** 2).mean() for task, y in LABELS.items()}


def test_misspelt_loss_weight():
    total = evaluated(plain(loss_weights={"a": 1.0, "bb": 5.0}))["loss"]
    np.testing.assert_allclose(total, ERROR["a"] + 5.0 * ERROR["b"], rtol=1e-5)  # Given to b without a word.
    with pytest.raises(ValueError, match="Unknown task 'bb' in loss_weights. Did you mean 'b'"):
        ours(loss_weights={"a": 1.0, "bb": 5.0})


def test_loss_weights_never_change_places():
    weights = {"a": 1000.0, "b": 0.001}
    swapped = plain(as_list=True, loss=["mse", "mse"], loss_weights=weights)
    total = swapped.evaluate(X, [B, A], verbose=0)[0]
    np.testing.assert_allclose(total, 0.001 * ERROR["a"] + 1000.0 * ERROR["b"], rtol=1e-4)
    logs = evaluated(ours(loss_weights=weights))
    np.testing.assert_allclose(logs["loss"], 1000.0 * ERROR["a"] + 0.001 * ERROR["b"], rtol=1e-5)


def test_loss_weights_for_some_tasks_only():
    with pytest.raises(ValueError, match="must match the number of losses"):
        evaluated(plain(loss_weights={"a": 2.0}))
    np.testing.assert_allclose(
        evaluated(ours(loss_weights={"a": 2.0}))["loss"], 2 * ERROR["a"] + ERROR["b"], rtol=1e-5
    )


def test_a_quarter_labelled_reports_the_mean_over_that_quarter():
    weights = {"a": np.array([1, 0, 0, 0, 1, 0, 0, 0], "float32"), "b": np.ones(8, "float32")}
    true = ((PREDICTED - A) ** 2)[[0, 4]].mean()
    shown = evaluated(plain(), sample_weight=weights)["a_loss"]
    np.testing.assert_allclose(shown, true / 4, rtol=1e-5)  # Divided by the batch size.
    np.testing.assert_allclose(evaluated(ours(), sample_weight=weights)["a_loss"], true, rtol=1e-5)
    gaps = {"a": np.where(weights["a"][:, None] > 0, A, np.nan), "b": B}
    logs = evaluated(ours(), gaps)
    np.testing.assert_allclose(logs["a_loss"], true, rtol=1e-5)
    np.testing.assert_allclose(logs["a_mae"], abs(PREDICTED - A)[[0, 4]].mean(), rtol=1e-5)


def test_metrics_count_labelled_examples_only():
    weights = {"a": np.array([1, 0, 0, 0, 0, 0, 0, 0], "float32"), "b": np.ones(8, "float32")}
    true = abs(PREDICTED - A)[0].mean()
    shown = evaluated(plain(metrics={"a": ["mae"]}), sample_weight=weights)["a_mae"]
    assert abs(shown - true) > 0.4
    np.testing.assert_allclose(evaluated(ours(), sample_weight=weights)["a_mae"], true, rtol=1e-5)


def test_nan_labels_with_zero_weight():
    gaps = {"a": np.where(np.arange(8)[:, None] < 2, A, np.nan), "b": B}
    weights = {"a": (np.arange(8) < 2).astype("float32"), "b": np.ones(8, "float32")}
    assert np.isnan(evaluated(plain(), gaps, sample_weight=weights)["loss"])
    for arguments in ({}, {"sample_weight": weights}):
        logs = evaluated(ours(), gaps, **arguments)
        np.testing.assert_allclose(logs["a_loss"], ((PREDICTED - A) ** 2)[:2].mean(), rtol=1e-5)


@pytest.mark.eager(False)  # Keras' graphs count batches alike, its eager steps by their size.
@pytest.mark.parametrize("batch_size", [3, 5, 7])
def test_logged_losses_do_not_depend_on_the_batches(batch_size):
    shown = evaluated(plain(), batch_size=batch_size)["a_loss"]
    assert abs(shown - ERROR["a"]) > 1e-3  # Batches of 3, 3 and 2 count alike.
    np.testing.assert_allclose(evaluated(ours(), batch_size=batch_size)["a_loss"], ERROR["a"], rtol=1e-5)


def test_sample_weights_for_some_tasks_only():
    weights = {"a": np.full(8, 2.0, "float32")}
    with pytest.raises(ValueError):
        evaluated(plain(), sample_weight=weights)
    logs = evaluated(ours(), sample_weight=weights)
    np.testing.assert_allclose([logs["a_loss"], logs["b_loss"]], [2 * ERROR["a"], ERROR["b"]], rtol=1e-5)


@pytest.mark.tensorflow
def test_sample_weights_for_some_tasks_only_in_a_dataset():
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((X, LABELS, {"a": np.full(8, 2.0, "float32")})).batch(4)
    with pytest.raises((KeyError, ValueError)):
        plain().evaluate(batches, verbose=0)
    logs = ours().evaluate(batches, verbose=0, return_dict=True)
    np.testing.assert_allclose([logs["a_loss"], logs["b_loss"]], [2 * ERROR["a"], ERROR["b"]], rtol=1e-5)


@pytest.mark.parametrize("labels", [{"a": A}, {"a": A, "b": None}], ids=["absent", "None"])
def test_labels_for_some_tasks_only(labels):
    with pytest.raises(ValueError):
        plain().fit(X, labels, verbose=0)
    history = ours().fit(X, labels, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], ERROR["a"], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_the_log_of_a_single_loss_keeps_its_name():
    assert "a_loss" not in plain(loss={"a": "mse", "b": None}).fit(X, LABELS, verbose=0).history
    assert "a_loss" in ours(loss_weights={"b": 0.0}).fit(X, LABELS, verbose=0).history
    assert set(ours({"a": Regression()}).fit(X, {"a": A}, verbose=0).history) == {"loss", "a_loss", "a_mae"}


def test_class_weight_for_several_outputs():
    classes = {"a": (A[:, 0] > 3).astype("int32"), "b": (B[:, 0] > 0).astype("int32")}
    with pytest.raises(ValueError, match="class_weight"):
        plain().fit(X, {"a": A, "b": B}, class_weight={"a": {0: 1.0, 1: 5.0}}, verbose=0)
    model = ours({"a": Classification(2), "b": Classification(2)})
    loss = model.fit(X, classes, class_weight={"a": {1: 5.0}}, verbose=0, batch_size=8).history["a_loss"][0]
    p = model.predict(X, verbose=0)["a"][np.arange(8), classes["a"]]
    np.testing.assert_allclose(loss, (-np.log(p) * np.where(classes["a"] == 1, 5.0, 1.0)).mean(), rtol=1e-5)


@pytest.mark.parametrize("monitor", ["val_a_loss", "val_a_mae"])
@pytest.mark.parametrize(
    "callback", [keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau], ids=lambda c: c.__name__
)
def test_callbacks_on_a_task_in_default_mode(callback, monitor):
    arguments = {"validation_data": (X, LABELS), "verbose": 0}
    with pytest.raises(ValueError, match="automatically determine"):
        plain(metrics={"a": ["mae"], "b": ["mae"]}).fit(X, LABELS, callbacks=[callback(monitor)], **arguments)
    history = ours().fit(X, LABELS, callbacks=[callback(monitor)], **arguments).history
    assert monitor in history


def test_outputs_of_a_head_stay_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    assert keras.backend.standardize_dtype(plain().output["a"].dtype) == "float16"
    assert keras.backend.standardize_dtype(ours().output["a"].dtype) == "float32"


@pytest.mark.tensorflow
def test_exports_keep_the_names_of_the_outputs(tmp_path):
    import tensorflow as tf

    plain(as_list=True, loss=["mse", "mse"]).export(tmp_path / "plain", verbose=False)
    ours().export(tmp_path / "ours")
    names = {
        kind: set(tf.saved_model.load(str(tmp_path / kind)).signatures["serving_default"].structured_outputs)
        for kind in ("plain", "ours")
    }
    assert names == {"plain": {"output_0", "output_1"}, "ours": {"a", "b"}}


def test_a_frozen_trunk_keeps_its_batch_statistics():
    inputs = keras.Input((1,), name="x")
    body = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    model = mtlkeras.build_model(keras.Input((1,), name="x"), body, {"a": Regression()})
    model.trunk.trainable = False
    model.compile("sgd")
    before = model.trunk.get_weights()
    model.fit(X, {"a": A}, verbose=0)
    for old, new in zip(before, model.trunk.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
