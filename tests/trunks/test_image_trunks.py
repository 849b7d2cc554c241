from __future__ import annotations

import json

import keras
import keras_tuner
import numpy as np
import pytest

from mtlkeras import trunks
from mtlkeras.features import Features
from mtlkeras.trunks import VGG, AlexNet, GoogLeNet, ResNet

SMALL = [
    AlexNet(width=16, fc_units=32),
    VGG(depth=11, width=8, fc_units=32),
    GoogLeNet(width=8, normalization="batch"),
    ResNet(depth=8),
    ResNet(width=8),
]
IDS = ["alexnet", "vgg", "googlenet", "resnet_8", "resnet_18"]
KINDS = [AlexNet, VGG, GoogLeNet, ResNet]
TENSORFLOW = keras.backend.backend() == "tensorflow"
# JAX compiles for minutes on the deeper ones, which are made of the same pieces.
CASES = [
    pytest.param(trunk, id=name, marks=[pytest.mark.tensorflow] if name in ("googlenet", "resnet_18") else [])
    for trunk, name in zip(SMALL, IDS, strict=True)
]


def model_of(trunk, shape, dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    features = trunk(inputs)
    return keras.Model(inputs, {"vector": features.vector, "map": features.map}), features


def pixels(shape, seed=0):
    return np.random.default_rng(seed).random((2, *shape), "float32")


def call(model, x):
    # JAX compiles a model once, but outside of a function each of its operations on its own.
    return model(x, training=False) if TENSORFLOW else model.predict_on_batch(x)


def arrays(outputs):
    return {key: keras.ops.convert_to_numpy(value) for key, value in outputs.items()}


# Side of the last map, by the order of SMALL. Channels vary too, since any number is taken.
SIDES = {
    (8, 8, 1): (2, 2, 2, 2, 1),
    (28, 28, 2): (4, 3, 4, 7, 4),
    (32, 32, 5): (4, 2, 4, 8, 4),
    (64, 64, 3): (1, 2, 2, 16, 2),
}


SHAPES = [shape if shape != (32, 32, 5) else pytest.param(shape, marks=pytest.mark.slow) for shape in SIDES]


# Sizes of maps do not depend on the backend, and building is slow on JAX.
@pytest.mark.parametrize("shape", SHAPES if TENSORFLOW else [(28, 28, 2)], ids=str)
@pytest.mark.parametrize(
    "number", [pytest.param(i, id=case.id, marks=case.marks) for i, case in enumerate(CASES)]
)
def test_builds_and_computes_finite_features(number, shape):
    trunk = SMALL[number]
    model, features = model_of(trunk, shape)
    outputs = arrays(call(model, pixels(shape)))
    assert isinstance(features, Features) and features.source is trunk
    assert outputs["vector"].ndim == 2 and outputs["map"].shape[1] == SIDES[shape][number]
    assert all(np.isfinite(value).all() for value in outputs.values())
    assert np.ptp(outputs["vector"]) > 0


@pytest.mark.parametrize("trunk", [*SMALL, *(kind() for kind in KINDS)], ids=repr)
def test_is_a_value(trunk):
    config = json.loads(json.dumps(trunk.get_config()))
    names = {kind.__name__: kind for kind in KINDS}
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(trunk))
    for twin in (type(trunk).from_config(config), eval(repr(trunk), names), revived):
        assert twin == trunk and hash(twin) == hash(trunk)
    assert trunk != trunk.replace(l2=0.125)


@pytest.mark.parametrize("kind", KINDS)
def test_tune_gives_the_default_first_and_then_what_is_drawn(kind):
    hp = keras_tuner.HyperParameters()
    assert kind.tune(hp) == kind()
    assert {"width", "l1", "l2", "dropout", "normalization"} <= set(hp.values)
    hp.values.update(width="32", l2=1e-4, dropout=0.0)
    assert kind.tune(hp) == kind(width=32, l2=1e-4, dropout=0.0)
    assert kind.tune(hp, width=24).width == 24


def test_tune_draws_a_normalisation():
    hp = keras_tuner.HyperParameters()
    ResNet.tune(hp)
    hp.values["normalization"] = "group"
    assert ResNet.tune(hp).normalization == "group"


def test_tune_refuses_an_unknown_field():
    with pytest.raises(ValueError, match="Unknown field 'dept' in VGG.tune. Did you mean 'depth'"):
        VGG.tune(keras_tuner.HyperParameters(), dept=11)


# Shapes and structure after the papers.


@pytest.mark.tensorflow  # As for the counts: nothing here depends on the backend.
def test_shapes_of_the_papers_networks():
    # Narrow networks: the maps' sizes do not depend on the width.
    inputs = keras.Input((224, 224, 3))
    sides = lambda features: [tap.shape[1] for tap in features.taps.values() if len(tap.shape) == 4]  # noqa: E731
    alexnet = AlexNet(width=6, fc_units=8)(inputs)
    assert sides(alexnet) == [55, 27, 13, 13, 13] and alexnet.map.shape[1:] == (6, 6, 16)
    vgg = VGG(width=2, fc_units=8)(inputs)
    assert sides(vgg) == [224, 112, 56, 28, 14] and vgg.map.shape[1:] == (7, 7, 16)
    googlenet = GoogLeNet(width=4)(inputs)
    assert sides(googlenet) == [28, 28, 28, 14, 14, 14, 14, 14, 7, 7]
    resnet = ResNet(width=2)(inputs)
    assert sides(resnet) == [56, 56, 28, 14, 7]


@pytest.mark.tensorflow
def test_channels_of_googlenet():
    taps = GoogLeNet()(keras.Input((28, 28, 1))).taps
    assert [tap.shape[-1] for tap in taps.values()] == [192, 256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert list(taps)[:3] == ["stem", "inception_3a", "inception_3b"]


@pytest.mark.tensorflow
def test_two_towers_see_half_of_the_channels():
    model, _ = model_of(AlexNet(width=96, fc_units=8), (28, 28, 1))
    shapes = [model.get_layer(f"conv_{number}").kernel.shape[2] for number in range(1, 6)]
    assert shapes == [1, 48, 256, 192, 192]


@pytest.mark.tensorflow
def test_local_normalisation_stands_where_the_papers_have_it():
    def places(trunk):
        model, _ = model_of(trunk, (28, 28, 1))
        return [layer.name for layer in model.layers if "LocalResponse" in type(layer).__name__]

    assert places(AlexNet(width=6, fc_units=8)) == ["norm_1", "norm_2"]
    assert places(GoogLeNet(width=4)) == ["norm_1", "norm_2"]
    assert places(GoogLeNet(width=4, normalization="batch")) == []


@pytest.mark.tensorflow
def test_layers_have_readable_names():
    names = [layer.name for layer in model_of(ResNet(depth=50, width=4), (28, 28, 1))[0].layers]
    assert {
        "stem_conv",
        "stage_1_block_2_conv_1",
        "stage_4_block_3_conv_3_norm",
        "stage_2_block_1_shortcut",
    } <= set(names)


@pytest.mark.tensorflow
def test_bottleneck_width():
    features = ResNet(depth=50, width=4)(keras.Input((28, 28, 1)))
    assert [tap.shape[-1] for tap in features.taps.values()] == [4, 16, 32, 64, 128]


def test_a_residual_block_is_its_shortcut_plus_a_branch():
    # With a last scale of zero the branch gives zeros, so a block gives relu(shortcut), and the
    # stem's output is not negative.
    inputs = keras.Input((8, 8, 1))
    taps = ResNet(depth=8, zero_last_gamma=True)(inputs).taps
    out = arrays(keras.Model(inputs, dict(taps))(pixels((8, 8, 1))))
    np.testing.assert_array_equal(out["stage_1"], out["stem"])
    expected = np.concatenate([out["stage_1"][:, ::2, ::2], np.zeros((2, 4, 4, 16), "float32")], axis=-1)
    np.testing.assert_array_equal(out["stage_2"], expected)


@pytest.mark.tensorflow
def test_shortcut_kinds_differ_in_parameters():
    # A projection from c to 2c channels has 2c² weights and a scale and offset for 2c channels.
    count = lambda shortcut: model_of(ResNet(depth=8, shortcut=shortcut), (8, 8, 1))[0].count_params()  # noqa: E731
    projections = sum(c * 2 * c + 4 * 2 * c for c in (16, 32))
    assert count("projection") - count("padding") == projections
    assert count("auto") == count("padding")


# Fields.


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind", KINDS if TENSORFLOW else [AlexNet, ResNet])
def test_penalties_are_those_of_all_kernels(kind):
    small = {"fc_units": 16} if "fc_units" in kind.field_names() else {}
    model, _ = model_of(kind(width=8, l1=1e-3, l2=1e-2, **small), (8, 8, 1))
    kernels = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights if w.name == "kernel"]
    assert len(kernels) == sum(hasattr(layer, "kernel") for layer in model.layers)
    expected = sum(1e-3 * np.abs(k).sum() + 1e-2 * (k**2).sum() for k in kernels)
    np.testing.assert_allclose(float(sum(model.losses)), expected, rtol=1e-4)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("trunk", CASES[:4])
def test_dropout_acts_in_training_only(trunk):
    rate = 0.5
    keras.utils.set_random_seed(1)
    model, _ = model_of(trunk.replace(dropout=rate, normalization=None), (28, 28, 1))
    x = pixels((28, 28, 1))
    still = [arrays(call(model, x))["vector"] for _ in range(2)]
    np.testing.assert_array_equal(*still)
    moved = arrays(model(x, training=True))["vector"]
    assert np.mean(moved == 0) > np.mean(still[0] == 0) + 0.1


def test_no_dropout_layer_without_dropout():
    model, _ = model_of(SMALL[0].replace(dropout=0.0), (8, 8, 1))
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "normalization, layer",
    [
        ("batch", keras.layers.BatchNormalization),
        ("group", keras.layers.GroupNormalization),
        ("layer", keras.layers.LayerNormalization),
        (None, None),
    ],
)
@pytest.mark.parametrize("trunk", [SMALL[0], SMALL[1], SMALL[3]], ids=["alexnet", "vgg", "resnet"])
def test_normalisation_and_biases(trunk, normalization, layer):
    model, _ = model_of(trunk.replace(normalization=normalization), (8, 8, 1))
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    kinds = ("BatchNormalization", "GroupNormalization", "LayerNormalization", "LocalResponseNormalization")
    norms = [x for x in model.layers if type(x).__name__ in kinds]
    assert all(x.use_bias == (normalization is None) for x in convolutions)
    assert len(norms) == (len(convolutions) if layer else 0) and all(
        isinstance(x, layer) for x in norms if layer
    )
    assert np.isfinite(arrays(call(model, pixels((8, 8, 1))))["vector"]).all()


def test_stem_is_chosen_by_size_and_can_be_fixed():
    assert VGG().stem_for(28, 28) == VGG().stem_for(200, 63) == "small"
    assert VGG().stem_for(64, 64) == VGG().stem_for(None, None) == "imagenet"
    assert VGG(stem="small").stem_for(224, 224) == "small"
    # The CIFAR networks have a stem of their own.
    assert ResNet(depth=20).stem_for(224, 224) == "small" != ResNet(depth=50).stem_for(224, 224)
    narrow = ResNet(width=4, stem="imagenet")(keras.Input((32, 32, 3)))
    assert narrow.taps["stem"].shape[1] == 8


def test_whole_number_pixels_are_scaled():
    trunk, raw = ResNet(depth=8), np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1))
    whole, _ = model_of(trunk, (8, 8, 1), "uint8")
    real, _ = model_of(trunk, (8, 8, 1))
    real.set_weights(whole.get_weights())
    out = arrays(whole(raw.astype("uint8"))), arrays(real((raw / 255).astype("float32")))
    np.testing.assert_allclose(out[0]["vector"], out[1]["vector"], rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
def test_images_of_varying_size():
    inputs = keras.Input((None, None, 3))
    for trunk in (ResNet(width=4), GoogLeNet(width=4)):
        model = keras.Model(inputs, trunk(inputs).vector)
        assert model(pixels((64, 80, 3))).shape == model(pixels((96, 64, 3))).shape
    for trunk in (VGG(), AlexNet()):
        with pytest.raises(ValueError, match="fully connected layers, so the height and width of its images"):
            trunk(inputs)


# Wrong input.


@pytest.mark.parametrize(
    "trunk, shape, message",
    [
        (
            VGG(),
            (7, 7, 1),
            r"VGG\(depth=16, stem='small'\) needs images of at least 8x8 pixels; received 7x7",
        ),
        (VGG(stem="imagenet"), (28, 28, 1), r"at least 32x32 pixels; received 28x28. .* or use stem='small'"),
        (AlexNet(stem="imagenet"), (62, 80, 3), r"AlexNet\(stem='imagenet'\) needs images of at least 63x63"),
        (GoogLeNet(), (28, 6, 1), "at least 8x8 pixels; received 28x6"),
        (
            ResNet(depth=50),
            (7, 9, 1),
            r"ResNet\(depth=50, stem='small'\) .* or use a CIFAR network such as depth=20",
        ),
        (
            ResNet(depth=20),
            (3, 3, 1),
            r"ResNet\(depth=20, stem='small'\) .* at least 4x4 .*Enlarge the images\.$",
        ),
    ],
)
def test_too_small_an_image(trunk, shape, message):
    with pytest.raises(ValueError, match=message):
        trunk(keras.Input(shape))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "trunk, side",
    [(AlexNet(stem="imagenet"), 63), (VGG(stem="imagenet"), 32), (GoogLeNet(stem="imagenet"), 32)],
)
def test_the_stated_minimum_works(trunk, side):
    narrow = {"fc_units": 8} if "fc_units" in trunk.field_names() else {}
    features = trunk.replace(width=4, **narrow)(keras.Input((side, side, 3)))
    assert features.map.shape[1:3] == (1, 1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VGG(depth=17), "VGG: depth must be one of 11, 13, 16, 19; received 17"),
        (lambda: ResNet(depth=21), "ResNet: depth must be one of 18, .* or 6n"),
        (lambda: VGG(normalization="batsch"), "normalization must be one of .* Did you mean 'batch'"),
        (lambda: ResNet(normalization="local"), "normalization must be one of"),
        (lambda: ResNet(stem="imagnet"), "stem must be one of .* Did you mean 'imagenet'"),
        (lambda: ResNet(l2=-1.0), "l2 must not be negative"),
        (lambda: AlexNet(dropout=1.0), r"dropout must be in \[0, 1\)"),
        (lambda: AlexNet(towers=3), "towers must be one of 1, 2"),
        (lambda: AlexNet(fc_units=0), "fc_units must be a whole number of at least 1"),
        (lambda: GoogLeNet(width=-4), "width must be a whole number"),
        (lambda: GoogLeNet(branch_kernel=7), "branch_kernel must be one of 3, 5"),
        (lambda: ResNet(shortcut="none"), "shortcut must be one of"),
        (lambda: VGG()(keras.Input((28, 28))), r"VGG takes inputs of shape \(height, width, channels\)"),
        (lambda: VGG()({"a": keras.Input((8, 8, 1)), "b": keras.Input((8, 8, 1))}), "received 2 inputs"),
    ],
)
def test_wrong_fields_and_inputs(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Leaving and training.


@pytest.mark.parametrize("trunk", CASES)
def test_saves_and_loads(trunk, tmp_path):
    model, _ = model_of(trunk, (28, 28, 1))
    model.save(tmp_path / "trunk.keras")
    x, loaded = pixels((28, 28, 1)), keras.saving.load_model(tmp_path / "trunk.keras")
    before, after = arrays(call(model, x)), arrays(call(loaded, x))
    for kind in before:
        np.testing.assert_array_equal(before[kind], after[kind])


# GoogLeNet's fifty convolutions are those of the others.
TO_FIT = [
    *CASES[:2],
    pytest.param(SMALL[2], id=IDS[2], marks=[pytest.mark.tensorflow, pytest.mark.slow]),
    CASES[3],
]


@pytest.mark.parametrize("trunk", TO_FIT)
def test_every_weight_gets_a_gradient_and_the_loss_falls(trunk):
    keras.utils.set_random_seed(0)
    x, y = np.repeat(pixels((8, 8, 1)), 4, axis=0), np.repeat([0, 1], 4)
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(trunk.replace(dropout=0.0)(inputs).vector))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Eagerly where that is quick: tracing the training step takes longer than these few steps.
    model.compile(keras.optimizers.Adam(3e-3), loss, run_eagerly=TENSORFLOW)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    losses = model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path


def test_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        for trunk in (SMALL[0], SMALL[3]):
            outputs = arrays(call(model_of(trunk, (28, 28, 1))[0], pixels((28, 28, 1))))
            assert outputs["vector"].dtype == np.float16 and np.isfinite(outputs["vector"]).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_public_names():
    assert set(trunks.__all__) >= {"AlexNet", "VGG", "GoogLeNet", "ResNet", "MLP", "Pretrained", "Trunk"}
    assert all(hasattr(trunks, name) for name in trunks.__all__)
