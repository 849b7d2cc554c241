from __future__ import annotations

import json

import keras
import keras_tuner
import numpy as np
import pytest

from mtlkeras.trunks import MLP

TENSORFLOW_ONLY = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strings are looked up by TensorFlow only"
)


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_is_dense_layers_on_standardised_numbers():
    trunk = MLP(depth=2, width=4, mean={"a": (1.0, 2.0), "b": 3.0}, scale={"a": (2.0, 4.0), "b": 0.5})
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((), name="b")}
    features = trunk(inputs)
    model = keras.Model(inputs, dict(features.taps))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2)).astype("float32"), rng.normal(size=5).astype("float32")
    outputs = model({"a": a, "b": b})

    x = np.concatenate([(a - [1, 2]) / [2, 4], ((b - 3) / 0.5)[:, None]], axis=1)
    for name in ("hidden_1", "hidden_2"):
        kernel, bias = model.get_layer(name).get_weights()
        x = np.maximum(x @ kernel + bias, 0)
        np.testing.assert_allclose(numpy_of(outputs[name]), x, rtol=1e-4, atol=1e-5)
    assert features.vector is features.taps["hidden_2"] and features.kinds == ["vector"]


def test_one_input_of_numbers():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, MLP(depth=1, width=5)(inputs).vector)
    # One dense layer and nothing else.
    assert model.count_params() == 3 * 5 + 5
    assert MLP(width=7)(keras.Input(())).vector.shape == (None, 7)


def test_categories_are_embedded_and_unknown_ones_share_a_row():
    inputs = {"c": keras.Input((), dtype="int32", name="c"), "d": keras.Input((2,), dtype="int32", name="d")}
    trunk = MLP(
        depth=1, width=6, activation="linear", categories={"c": 7, "d": ("x", "y")}, embedding_units=3
    )
    model = keras.Model(inputs, trunk(inputs).vector)
    # Rows for the categories and one unknown; 3 + 2 * 3 columns.
    assert model.count_params() == 8 * 3 + 3 * 3 + 9 * 6 + 6
    c = np.array([6, 7, -1, 0], "int32")
    out = numpy_of(model({"c": c, "d": np.zeros((4, 2), "int32")}))
    np.testing.assert_array_equal(out[1], out[2])
    assert np.abs(out[0] - out[1]).max() > 1e-6 and np.abs(out[0] - out[3]).max() > 1e-6


def test_default_length_of_an_embedding():
    inputs = {
        "few": keras.Input((), dtype="int32", name="few"),
        "many": keras.Input((), dtype="int32", name="many"),
    }
    model = keras.Model(inputs, MLP(categories={"few": 5, "many": 1000})(inputs).vector)
    assert model.get_layer("few_embedding").embeddings.shape == (6, 3)
    assert model.get_layer("many_embedding").embeddings.shape == (1001, 50)


def test_bool_inputs_are_numbers():
    inputs = {"x": keras.Input((2,), name="x"), "flag": keras.Input((), dtype="bool", name="flag")}
    model = keras.Model(inputs, MLP(depth=1, width=2)(inputs).vector)
    assert model.get_layer("hidden_1").kernel.shape == (3, 2)
    assert numpy_of(model({"x": np.ones((3, 2)), "flag": np.array([True, False, True])})).shape == (3, 2)


@TENSORFLOW_ONLY
def test_strings_are_looked_up(tmp_path):
    inputs = {"c": keras.Input((), dtype="string", name="c")}
    codes = {"c": keras.Input((), dtype="int32", name="c")}
    trunk = MLP(depth=1, width=4, categories={"c": ("red", "green")})
    by_name, by_code = keras.Model(inputs, trunk(inputs).vector), keras.Model(codes, trunk(codes).vector)
    by_code.set_weights(by_name.get_weights())
    names = keras.ops.convert_to_tensor(["green", "red", "blue"])
    expected = numpy_of(by_code({"c": np.array([1, 0, -1])}))
    np.testing.assert_allclose(numpy_of(by_name({"c": names})), expected, rtol=1e-6)
    by_name.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy_of(loaded({"c": names})), numpy_of(by_name({"c": names})))


def test_strings_need_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="'c' holds strings, which only the TensorFlow backend"):
        MLP(categories={"c": ("a", "b")})({"c": keras.Input((), dtype="string", name="c")})


def test_penalties_are_those_of_the_dense_kernels():
    inputs = {"x": keras.Input((3,), name="x"), "c": keras.Input((), dtype="int32", name="c")}
    model = keras.Model(inputs, MLP(width=4, l1=1e-3, l2=1e-2, categories={"c": 5})(inputs).vector)
    kernels = [model.get_layer(name).get_weights()[0] for name in ("hidden_1", "hidden_2")]
    expected = sum(1e-3 * np.abs(k).sum() + 1e-2 * (k**2).sum() for k in kernels)
    np.testing.assert_allclose(float(sum(model.losses)), expected, rtol=1e-5)


def test_dropout_acts_in_training_only():
    inputs = keras.Input((3,))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, MLP(depth=1, width=1000, activation="sigmoid", dropout=0.25)(inputs).vector)
    x = np.ones((2, 3), "float32")
    assert np.mean(numpy_of(model(x)) == 0) == 0
    assert abs(np.mean(numpy_of(model(x, training=True)) == 0) - 0.25) < 0.05


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalisation(normalization):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, MLP(depth=2, normalization=normalization)(inputs).vector)
    kinds = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}
    assert sum(isinstance(layer, kinds[normalization]) for layer in model.layers) == 2


def test_is_a_value():
    trunk = MLP(3, 64, categories={"b": ["x", "y"], "a": 4}, mean={"x": 1.5}, scale={"x": [1.0, 2.0]})
    revived = MLP.from_config(json.loads(json.dumps(trunk.get_config())))
    for twin in (revived, eval(repr(trunk), {"MLP": MLP}), trunk.replace()):
        assert twin == trunk and hash(twin) == hash(trunk)
    assert MLP.tune(keras_tuner.HyperParameters()) == MLP()
    assert MLP.tune(keras_tuner.HyperParameters(), categories={"a": 4}).categories == {"a": 4}


def test_saves_and_loads(tmp_path):
    inputs = {"x": keras.Input((2,), name="x"), "c": keras.Input((), dtype="int32", name="c")}
    trunk = MLP(categories={"c": 3}, mean={"x": 1.0}, scale={"x": 2.0}, normalization="batch")
    model = keras.Model(inputs, trunk(inputs).vector)
    model.save(tmp_path / "m.keras")
    x = {
        "x": np.random.default_rng(0).normal(size=(4, 2)).astype("float32"),
        "c": np.array([0, 1, 2, 9], "int32"),
    }
    np.testing.assert_array_equal(
        numpy_of(model(x)), numpy_of(keras.saving.load_model(tmp_path / "m.keras")(x))
    )


def inputs_of(shape=(2,), dtype="float32"):
    return {"age": keras.Input(shape, dtype=dtype, name="age")}


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: MLP()(inputs_of(dtype="int32")),
            "'age' of dtype int32 holds categories, so it needs an entry",
        ),
        (lambda: MLP()(inputs_of(dtype="string")), "'age' of dtype string holds categories"),
        (
            lambda: MLP(categories={"agee": 3})(inputs_of()),
            "Unknown input 'agee' in MLP: categories. .*'age'",
        ),
        (lambda: MLP(mean={"Age": 3.0})(inputs_of()), "Unknown input 'Age' in MLP: mean. Did you mean 'age'"),
        (
            lambda: MLP(mean={"age": (1.0, 2.0, 3.0)})(inputs_of()),
            "mean of input 'age' needs one number or 2",
        ),
        (lambda: MLP(scale={"age": 0.0}), "scale of input 'age' must be greater than zero"),
        (lambda: MLP(categories={"age": 3})(inputs_of()), "whole-number or string dtype; received float32"),
        (lambda: MLP(categories={"age": 3})(inputs_of(dtype="string")), "needs its categories' names"),
        (lambda: MLP(categories={"age": 0}), "must be their number or a tuple of their names; received 0"),
        (lambda: MLP(categories={"age": ("a", "a")}), "must be distinct"),
        (lambda: MLP()(inputs_of((2, 3))), r"'age' must have the shape \(n,\) or \(\); received \(2, 3\)"),
        (lambda: MLP(depth=0), "depth must be a whole number of at least 1"),
        (lambda: MLP(normalization="grup"), "normalization must be one of 'batch', .*Did you mean 'group'"),
        (lambda: MLP(activation="rellu"), "rellu"),
    ],
)
def test_wrong_fields_and_inputs(make, message):
    with pytest.raises(ValueError, match=message):
        make()
