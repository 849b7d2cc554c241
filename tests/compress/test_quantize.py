"""Kernels of eight bits: what they compute, and that models with them are whole."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.compress import compare, prunable, quantizable, quantize
from mtlkeras.heads import Classification, Regression, Tagging
from mtlkeras.trunks import BERT, LSTM, MLP, VGG, ResNet

RNG = np.random.default_rng(0)
HEADS = {"kind": Classification(4), "size": Regression(2)}


def mlp(**fields):
    model = mtlkeras.build_model((9,), MLP(depth=2, width=16, **fields), HEADS)
    model.compile("adam")
    return model


def bert():
    trunk = BERT(depth=1, width=16, heads=2, vocabulary_size=20, max_length=12)
    heads = {"kind": Classification(4), "tags": Tagging(("a", "b"))}
    return mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads)


def attending():
    x = keras.Input((5, 8))
    y = mtlkeras.layers.SelfAttention(2, name="block_1_attention")(x)
    return mtlkeras.build_model(x, keras.Model(x, keras.layers.Flatten()(y)), HEADS)


def outputs(model, x):
    return {task: keras.ops.convert_to_numpy(values) for task, values in model(x).items()}


def rounded(values, axis):
    """The nearest values that are whole multiples, up to 127, of a scale along an axis."""
    scale = np.abs(values).max(axis, keepdims=True) / 127
    return np.round(values / scale) * scale


@pytest.mark.eager
def test_kernels_and_what_they_are_given_are_rounded():
    model = mlp()
    x = RNG.normal(size=(5, 9)).astype("float32")
    found = outputs(quantize(model), x)
    hidden = x
    for name in ("hidden_1", "hidden_2"):
        kernel, bias = (w.numpy() for w in model.trunk.get_layer(name).weights)
        hidden = np.maximum(rounded(hidden, 1) @ rounded(kernel, 0) + bias, 0)
    kernel, bias = (w.numpy() for w in model.get_layer("size_logits").weights)
    np.testing.assert_allclose(found["size"], hidden @ kernel + bias, atol=1e-4)


@pytest.mark.eager
def test_trunk_and_heads_are_quantized_apart():
    model = mlp()
    kernels = {"hidden_1", "hidden_2", "kind_logits", "size_logits"}
    for what, expected in {
        "heads": {"kind_logits", "size_logits"},
        ("hidden_2", "kind"): {"hidden_2", "kind_logits"},
    }.items():
        made = quantize(model, what)
        every = {layer.name: layer for layer in [*made.layers, *made.trunk.layers]}
        assert {name for name in kernels if every[name].kernel.dtype == "int8"} == expected
    assert all("float32" in weight.dtype for weight in model.weights)


@pytest.mark.eager
def test_files_are_smaller():
    model = mtlkeras.build_model((9,), MLP(depth=2, width=128), {"y": Regression()})
    table = compare(model, quantize(model), np.ones((2, 9), "float32"), rounds=1)
    assert table["flops"][0] == table["flops"][1]
    assert table["file_bytes"][0] - table["file_bytes"][1] > 2.8 * 128 * (9 + 128)


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize("build", [attending, pytest.param(bert, marks=pytest.mark.slow)])
def test_model_is_whole(build, tmp_path):
    model = build()
    model.compile("adam")
    is_text = build is bert
    x = RNG.integers(0, 20, (3, 6)) if is_text else RNG.normal(size=(3, 5, 8)).astype("float32")
    labels = {"kind": np.array([0, -1, 3])}
    labels.update({"tags": RNG.integers(0, 2, (3, 6))} if is_text else {"size": RNG.normal(size=(3, 2))})
    made = quantize(model, ("trunk", "heads"))
    before = outputs(model, x)
    for task, values in outputs(made, x).items():
        assert 0 < np.abs(values - before[task]).max() < 0.1
    made.train_on_batch(x, labels)
    for number in range(2):  # What was loaded is saved again.
        expected = outputs(made, x)
        made.save(tmp_path / f"{number}.keras")
        made = mtlkeras.load_model(tmp_path / f"{number}.keras")
        for task, values in outputs(made, x).items():
            np.testing.assert_allclose(values, expected[task], atol=1e-6)
    assert {layer.kernel.dtype for layer in made.trunk.get_layer("block_1_attention").projections} == {"int8"}
    assert "block_1_attention" not in prunable(made)  # It makes no channels that could be followed.


@pytest.mark.slow
@pytest.mark.tensorflow
def test_export(tmp_path):
    import tensorflow as tf

    made = quantize(mlp(), ("trunk", "heads"))
    x = RNG.normal(size=(5, 9)).astype("float32")
    made.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve_raw(tf.constant(x))["kind"], outputs(made, x)["kind"], atol=1e-5)


def test_layers_that_can_be_quantized():
    assert quantizable(mlp(normalization="batch")) == {
        "hidden_1": 9 * 16,
        "hidden_1_norm": "Keras quantizes no BatchNormalization",
        "hidden_2": 16 * 16,
        "hidden_2_norm": "Keras quantizes no BatchNormalization",
        "kind_logits": 16 * 4,
        "size_logits": 16 * 2,
    }
    assert quantizable(bert())["block_1_attention"] == 4 * 16 * 16
    assert quantizable(quantize(mlp(), "size"))["size_logits"] == "it is quantized"


@pytest.mark.parametrize(
    ("build", "what", "message"),
    [
        (mlp, "trunks", "Did you mean 'trunk'"),
        (
            lambda: quantize(mlp(), "size"),
            "size",
            "no layer of .* can be quantized. 'size_logits': it is quant",
        ),
        (
            lambda: mtlkeras.build_model((12, 12, 1), ResNet(depth=8, width=8), HEADS),
            "trunk",
            r"'stem_conv': Keras quantizes no Conv2D; .* and \d+ more",
        ),
        (
            lambda: mtlkeras.build_model(
                keras.Input((None,), dtype="int32"), LSTM(units=4, vocabulary_size=9), {"kind": Regression()}
            ),
            ["trunk", "lstm_1"],
            "layer 'lstm_1' cannot be quantized: Keras quantizes no LSTM",
        ),
        (
            lambda: mtlkeras.build_model((5,), MLP(width=8), HEADS, sharing=mtlkeras.sharing.SoftSharing()),
            "heads",
            "SoftSharing compares",
        ),
    ],
)
def test_refused(build, what, message):
    with pytest.raises(ValueError, match=message):
        quantize(build(), what)


def test_weights_that_are_no_numbers_and_half_precision():
    model = mlp()
    kernel = model.trunk.get_layer("hidden_1").kernel
    kernel.assign(kernel.numpy() * np.nan)
    assert quantizable(model)["hidden_1"] == "its weights are not finite"
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = mlp()
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="'hidden_1': it computes in float16"):
        quantize(model)


def test_modes():
    with pytest.raises(ValueError, match="mode"):
        quantize(mlp(), mode="int9")
    with pytest.raises(ValueError, match="what must be names in a tuple; received None"):
        quantize(mlp(), None)
    with pytest.raises(ValueError, match="what= names none; expected 'trunk'"):
        quantize(mlp(), ())
    for function in (quantize, quantizable):
        with pytest.raises(ValueError, match=f"{function.__name__}: expected a MultiTaskModel"):
            function(keras.Sequential())


@pytest.mark.parametrize("names", [{"hidden_1"}, np.array(["hidden_1"]), ["hidden_1"]])
def test_names_in_a_series_of_any_kind(names):
    assert quantize(mlp(), names).trunk.get_layer("hidden_1").kernel.dtype == "int8"


@pytest.mark.eager
@pytest.mark.slow
def test_dense_layers_of_an_image_trunk():
    model = mtlkeras.build_model((16, 16, 3), VGG(depth=11, width=4, fc_units=16), HEADS)
    made = quantize(model)
    x = RNG.normal(size=(2, 16, 16, 3)).astype("float32")
    assert made.trunk.get_layer("fc_1").kernel.dtype == "int8"
    expected = outputs(model, x)
    for task, values in outputs(made, x).items():
        np.testing.assert_allclose(values, expected[task], atol=0.05 * max(1, np.abs(expected[task]).max()))
