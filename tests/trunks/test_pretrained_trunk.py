from __future__ import annotations

import json
import sys

import keras
import keras_tuner
import numpy as np
import pytest

from mtlkeras.trunks import Pretrained

OPTIONS = {"alpha": 0.35}
SHAPE = (32, 32, 3)
SMALL = Pretrained("MobileNetV2", options=OPTIONS)


def application(include_top=False):
    keras.utils.set_random_seed(3)
    return keras.applications.MobileNetV2(
        input_shape=SHAPE, weights=None, include_top=include_top, classes=5, **OPTIONS
    )


def model_of(trunk, shape=SHAPE, dtype="uint8"):
    inputs = keras.Input(shape, dtype=dtype)
    features = trunk(inputs)
    return keras.Model(inputs, {"map": features.map, "vector": features.vector}), features


def pixels(channels=3):
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, channels)).astype("uint8")


def call(model, x):
    # JAX compiles a model once, but outside of a function each of its operations on its own.
    return model(x) if keras.backend.backend() == "tensorflow" else model.predict_on_batch(x)


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def plain():
    return application()


@pytest.fixture(scope="module")
def expected(plain):
    x = keras.applications.mobilenet_v2.preprocess_input(pixels().astype("float32"))
    return numpy_of(call(plain, x))


FILES = ["w.weights.h5", "with_top.keras"]
FILES += [pytest.param(name, marks=pytest.mark.slow) for name in ("model.h5", "nested.keras")]


# JAX takes long to make a network of this many layers.
@pytest.fixture(scope="module", params=FILES if keras.backend.backend() == "tensorflow" else FILES[:1])
def weights_file(request, plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / request.param
    if request.param == "model.h5":
        plain.save(path)
    elif request.param == "with_top.keras":
        whole = application(include_top=True)
        whole.set_weights(plain.get_weights() + whole.get_weights()[len(plain.weights) :])
        whole.save(path)
    elif request.param == "nested.keras":
        keras.Sequential([keras.Input(SHAPE), plain, keras.layers.Flatten(), keras.layers.Dense(2)]).save(
            path
        )
    else:
        plain.save_weights(path)
    return path


@pytest.mark.slow_on_jax
def test_weights_from_a_file_give_the_networks_own_outputs(weights_file, expected):
    model, _ = model_of(SMALL.replace(weights=str(weights_file)))
    outputs = call(model, pixels())
    np.testing.assert_allclose(numpy_of(outputs["map"]), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numpy_of(outputs["vector"]), expected.mean((1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow
def test_random_weights_and_max_pooling():
    model, features = model_of(SMALL.replace(pooling="max"), (64, 64, 3))
    outputs = call(model, np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8"))
    np.testing.assert_array_equal(numpy_of(outputs["vector"]), numpy_of(outputs["map"]).max((1, 2)))
    assert features.kinds == ["vector", "map"]


@pytest.mark.tensorflow
def test_one_channel_is_repeated():
    gray, _ = model_of(SMALL, (32, 32, 1))
    colour, _ = model_of(SMALL)
    colour.set_weights(gray.get_weights())
    x = pixels(1)
    np.testing.assert_allclose(
        numpy_of(call(gray, x)["map"]),
        numpy_of(call(colour, np.repeat(x, 3, axis=-1))["map"]),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.tensorflow
def test_networks_with_preprocessing_of_their_own_take_whole_numbers():
    model, _ = model_of(Pretrained("MobileNetV3Small", options=OPTIONS))
    reference = keras.applications.MobileNetV3Small(
        input_shape=SHAPE, include_top=False, weights=None, **OPTIONS
    )
    reference.set_weights(model.get_weights())
    np.testing.assert_allclose(
        numpy_of(call(model, pixels())["map"]),
        numpy_of(call(reference, pixels().astype("float32"))),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.tensorflow
def test_inner_layers_are_taps():
    _, features = model_of(SMALL)
    vector = features.get("vector", at="block_6_expand_relu", asked_by="the test")
    names = list(features.taps)
    assert vector.shape == (None, features.taps["block_6_expand_relu"].shape[-1])
    assert names.index("Conv1") < names.index("block_3_add" if "block_3_add" in names else "block_4_add")
    with pytest.raises(
        ValueError, match="Unknown tap 'block_6_expand_rel' .*Did you mean 'block_6_expand_relu'"
    ):
        features.get("vector", at="block_6_expand_rel")


@pytest.mark.tensorflow
def test_counted_names_are_no_taps():
    names = list(Pretrained("Xception")(keras.Input((71, 71, 3))).taps)
    assert "block1_conv1" in names and not [
        n for n in names if n.startswith(("conv2d", "batch_normalization", "add"))
    ]


@pytest.mark.tensorflow
def test_frozen():
    frozen, _ = model_of(SMALL.replace(trainable=False))
    free, _ = model_of(SMALL)
    assert len(frozen.trainable_weights) == 0 < len(free.trainable_weights)
    assert len(frozen.weights) == len(free.weights)
    x = pixels()
    np.testing.assert_array_equal(numpy_of(frozen(x, training=True)["map"]), numpy_of(frozen(x)["map"]))


@pytest.mark.tensorflow
def test_saves_and_loads_without_the_weights_file(tmp_path, plain):
    file = tmp_path / "w.weights.h5"
    plain.save_weights(file)
    model, _ = model_of(SMALL.replace(weights=str(file), trainable=False))
    model.save(tmp_path / "m.keras")
    file.unlink()
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        numpy_of(call(loaded, pixels())["map"]), numpy_of(call(model, pixels())["map"])
    )
    assert not loaded.trainable_weights


def test_is_a_value():
    twin = Pretrained.from_config(json.loads(json.dumps(SMALL.get_config())))
    assert twin == SMALL == eval(repr(SMALL), {"Pretrained": Pretrained}) and hash(twin) == hash(SMALL)
    assert Pretrained.tune(keras_tuner.HyperParameters(), name="VGG16") == Pretrained("VGG16")


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise OSError("no route to host")

    files = sys.modules[keras.utils.get_file.__module__]
    monkeypatch.setattr(files, "urlretrieve", no_network)
    monkeypatch.setattr(keras.config, "keras_home", lambda: str(tmp_path), raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"Pretrained\('MobileNetV2', weights='imagenet'\).*give the file"):
        Pretrained("MobileNetV2", weights="imagenet")(keras.Input((96, 96, 3)))


def broken(path):
    path.write_bytes(b"not a file of weights")
    return str(path)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda tmp: Pretrained("MobilNetV2"),
            "Unknown network 'MobilNetV2' in Pretrained. Did you mean 'MobileNetV2'",
        ),
        (
            lambda tmp: Pretrained("VGG16", "imagnet")(keras.Input(SHAPE)),
            "no file 'imagnet'. Did you mean 'imagenet'",
        ),
        (lambda tmp: Pretrained("VGG16", str(tmp / "w.h5"))(keras.Input(SHAPE)), "there is no file '.*w.h5'"),
        (
            lambda tmp: SMALL.replace(weights=broken(tmp / "w.weights.h5"))(keras.Input(SHAPE)),
            "cannot be read",
        ),
        (lambda tmp: SMALL.replace(weights=broken(tmp / "w.keras"))(keras.Input(SHAPE)), "cannot be read"),
        (
            lambda tmp: SMALL(keras.Input((28, 28, 3))),
            "needs images of at least 32x32 pixels; received 28x28",
        ),
        (lambda tmp: Pretrained("Xception")(keras.Input((64, 99, 3))), "at least 71x71"),
        (lambda tmp: SMALL(keras.Input((32, 32, 4))), "takes images of 1 or 3 channels; received 4"),
        (lambda tmp: SMALL.replace(pooling="mean"), "pooling must be one of 'avg', 'max'"),
        (
            lambda tmp: Pretrained("VGG16", options={"include_top": True}),
            "options must not hold 'include_top'",
        ),
        (lambda tmp: Pretrained("VGG16", dropout=1.5), "dropout must be in"),
    ],
)
@pytest.mark.tensorflow
def test_wrong_fields_and_inputs(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path)


@pytest.mark.tensorflow
def test_weights_of_another_network_do_not_fit(tmp_path, plain):
    plain.save(tmp_path / "m.keras")
    plain.save_weights(tmp_path / "m.weights.h5")
    for name in ("m.keras", "m.weights.h5"):
        with pytest.raises(ValueError, match="do not fit, or cannot be read"):
            Pretrained("MobileNetV2", str(tmp_path / name), options={"alpha": 0.5})(keras.Input(SHAPE))
