"""Batch normalisation in the kernels before it: the outputs stay, and so does all that has a name."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.compress import compare, fold_normalization, prune_channels
from mtlkeras.heads import Classification, Regression
from mtlkeras.layers import GroupedConv2D
from mtlkeras.trunks import MLP, VGG, GoogLeNet, ResNet

RNG = np.random.default_rng(0)
HEADS = {"kind": Classification(4), "size": Regression(2)}
L = keras.layers


def norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization)]


def trained(model):
    """Gives normalisations statistics, and all biases values, as after a training."""
    for layer in model._flatten_layers():
        for weight in layer.weights if isinstance(layer, L.BatchNormalization) else ():
            weight.assign(RNG.uniform(0.5, 1.5, weight.shape))
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(RNG.normal(size=layer.bias.shape))
    return model


def model_of(trunk, inputs=(16, 16, 3)):
    model = mtlkeras.build_model(inputs, trunk, HEADS)
    model.compile(keras.optimizers.SGD(0.01))
    return trained(model)


def inputs_of(model):
    return RNG.normal(size=(3, *model.inputs[0].shape[1:])).astype("float32")


def assert_alike(one, other, x):
    expected, found = one.predict_on_batch(x), other.predict_on_batch(x)
    assert expected.keys() == found.keys()
    for task, values in expected.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(found[task], values, atol=1e-5 * scale, rtol=1e-4)


TRUNKS = {
    "resnet": (ResNet(depth=8, width=4), (16, 16, 3)),
    "bottlenecks": (ResNet(depth=50, width=4, use_bias=True), (32, 32, 3)),
    "vgg": (VGG(depth=11, width=4, fc_units=8, normalization="batch"), (16, 16, 3)),
    "googlenet": (GoogLeNet(width=4, normalization="batch"), (16, 16, 3)),
    "mlp": (MLP(depth=2, width=8, normalization="batch"), (5,)),
}


@pytest.mark.eager
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("bottlenecks", "googlenet") else [])
        for name in TRUNKS
    ],
)
def test_outputs_are_those_of_the_model_with_normalisation(name):
    model = model_of(*TRUNKS[name])
    weights = model.get_weights()
    folded = fold_normalization(model)
    assert norms(model) and not norms(folded)
    assert_alike(model, folded, inputs_of(model))
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def body(build, shape=(8, 8, 4)):
    given = keras.Input(shape)
    return keras.Model(given, build(given))


KERNELS = {
    "depthwise": L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
    "separable": L.SeparableConv2D(5, 3),
    "groups": GroupedConv2D(6, 3, groups=2),
    "one axis": L.Conv1D(5, 3, use_bias=False),
    "depthwise, one axis": L.DepthwiseConv1D(3, depth_multiplier=2),
    "separable, one axis": L.SeparableConv1D(5, 3, use_bias=False),
    "three axes": L.Conv3D(5, 2),
    "dense on maps": L.Dense(6),
}
SHAPES = {"one axis": (8, 4), "three axes": (4, 4, 4, 2)}


@pytest.mark.eager
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", KERNELS)
def test_every_kind_of_kernel(name, scaled):
    layer = KERNELS[name].from_config(KERNELS[name].get_config())
    shape = next((s for end, s in SHAPES.items() if name.endswith(end)), (8, 8, 4))
    norm = L.BatchNormalization(scale=scaled, center=scaled)
    model = trained(mtlkeras.build_model(shape, body(lambda x: L.Flatten()(norm(layer(x))), shape), HEADS))
    folded = fold_normalization(model)
    assert not norms(folded)
    assert_alike(model, folded, inputs_of(model))


@pytest.mark.eager
def test_a_sequential_trunk():
    trunk = keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten()]
    )
    model = trained(mtlkeras.build_model((8, 8, 3), trunk, HEADS))
    folded = fold_normalization(model)
    assert not norms(folded)
    assert_alike(model, folded, inputs_of(model))


def twice(x):
    norm = L.BatchNormalization(name="n")
    return L.Flatten()(L.Add()([norm(L.Conv2D(4, 3)(x)), norm(L.Conv2D(4, 3)(x))]))


def read_elsewhere(x):
    convolved = L.Conv2D(4, 3, name="c")(x)
    return L.Flatten()(L.Add()([convolved, L.BatchNormalization(name="n")(convolved)]))


REFUSED = {
    "an input": (lambda x: L.Flatten()(L.BatchNormalization(name="n")(x)), "it reads an input"),
    "an activation": (
        lambda x: L.Flatten()(L.BatchNormalization(name="n")(L.Conv2D(4, 3, activation="relu", name="c")(x))),
        "'c' has an activation",
    ),
    "a pooling": (
        lambda x: L.Flatten()(L.BatchNormalization(name="n")(L.MaxPooling2D()(x))),
        "it follows a MaxPooling2D",
    ),
    "another axis": (
        lambda x: L.Flatten()(L.BatchNormalization(axis=1, name="n")(L.Conv2D(4, 3)(x))),
        "it does not normalise the last axis",
    ),
    "statistics of the batch": (
        lambda x: L.Flatten()(L.BatchNormalization(name="n")(L.Conv2D(4, 3)(x), training=True)),
        "it is called with training=True",
    ),
    "another type": (
        lambda x: L.Flatten()(L.BatchNormalization(dtype="bfloat16", name="n")(L.Conv2D(4, 3)(x))),
        "it computes in another type",
    ),
    "several calls": (twice, "is called several times"),
    "another reader": (read_elsewhere, "it is not alone in reading 'c'"),
    "nothing": (lambda x: L.Flatten()(L.Conv2D(4, 3)(x)), "The model has none"),
}


@pytest.mark.eager
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_folded_is_told(name):
    build, why = REFUSED[name]
    model = mtlkeras.build_model((8, 8, 4), body(build), HEADS)
    with pytest.raises(ValueError, match=f"no batch normalisation to fold. .*{why}"):
        fold_normalization(model)


def test_weights_must_be_finite_and_models_ours():
    model = model_of(MLP(depth=1, width=4, normalization="batch"), (5,))
    norms(model)[0].moving_variance.assign([1, np.nan, 1, 1])
    with pytest.raises(ValueError, match="fold_normalization: the weights of layer 'hidden_1_norm' must be"):
        fold_normalization(model)
    with pytest.raises(ValueError, match="expected a MultiTaskModel; received Functional"):
        fold_normalization(model.trunk)


def test_weights_that_a_penalty_compares_stay():
    trunk = MLP(depth=1, width=4, normalization="batch")
    model = mtlkeras.build_model((5,), trunk, HEADS, sharing=mtlkeras.sharing.SoftSharing())
    with pytest.raises(ValueError, match="fold_normalization: layer '.*': SoftSharing compares the trunks"):
        fold_normalization(model)


@pytest.mark.eager
@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = model_of(ResNet(depth=8, width=4))
    folded = fold_normalization(model)
    x = inputs_of(model)
    for task, values in model.predict_on_batch(x).items():
        found = np.asarray(folded.predict_on_batch(x)[task], "float32")
        np.testing.assert_allclose(found, np.asarray(values, "float32"), atol=0.1 * np.abs(values).max())


@pytest.mark.tensorflow
def test_a_pruned_model_is_folded_saved_exported_and_compared(tmp_path):
    import tensorflow as tf

    model = model_of(ResNet(depth=8, width=4))
    x = inputs_of(model)
    y = {"kind": np.array([0, 1, 2]), "size": np.zeros((3, 2))}
    small = prune_channels(model, (x, y), flops=0.5)
    folded = fold_normalization(small)
    table = compare(small, folded, x[:1], rounds=2)
    assert table["weights"][1] < table["weights"][0]
    folded.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert list(again.heads) == list(HEADS)
    assert_alike(small, again, x)
    folded.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    served = loaded.serve_raw(tf.constant(x))
    for task, values in again.predict_on_batch(x).items():
        np.testing.assert_allclose(served[task], values, rtol=1e-4, atol=1e-5)
    loss = again.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    with pytest.raises(ValueError, match="no batch normalisation to fold. The model has none"):
        fold_normalization(again)
