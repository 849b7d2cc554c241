"""Pictures of uint8 for inputs that count otherwise, and the other way round."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.pixel_inputs import check_pixels, is_unscaled, rescales
from mtlkeras.heads import Classification
from mtlkeras.trunks import ResNet
from tests.support import TinyTrunk

L = keras.layers
SHAPE = (16, 16, 3)
X = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype("uint8")
Y = {"a": np.array([0, 1, 0, 1])}


def built(trunk, inputs=SHAPE):
    return mtlkeras.build_model(inputs, trunk, {"a": Classification(2)})


def layered(*layers, shape=SHAPE):
    """A model whose trunk is these layers, one after the other."""
    image = x = keras.Input(shape, name="image")
    for layer in layers:
        x = layer(x)
    return built(keras.Model(image, x), image)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X, Y


def batches():
    yield X, Y


WAYS = {
    "fit": lambda m: m.fit(X, Y, verbose=0),
    "validation": lambda m: m.fit(X / 255, Y, validation_data=(X, Y), verbose=0),
    "evaluate": lambda m: m.evaluate(X, Y, verbose=0),
    "predict": lambda m: m.predict(X, verbose=0),
    "predict_labels": lambda m: m.predict_labels(X, verbose=0),
    "train_on_batch": lambda m: m.train_on_batch(X, Y),
    "test_on_batch": lambda m: m.test_on_batch(X, Y),
    "PyDataset": lambda m: m.fit(Batches(), verbose=0),
    "generator": lambda m: m.fit(batches(), shuffle=False, verbose=0),
    "call": lambda m: m(X),
}


@pytest.fixture(scope="module")
def plain():
    """A model of floats without any scaling."""
    model = built(TinyTrunk(), keras.Input(SHAPE, name="image"))
    model.compile("sgd", run_eagerly=keras.backend.backend() == "tensorflow")
    return model


@pytest.mark.parametrize("way", WAYS)
def test_uint8_pictures_for_floats_without_scaling_are_refused(plain, way):
    with pytest.raises(ValueError, match="(?s)'image' is given uint8.*dtype='uint8'.*x / 255"):
        WAYS[way](plain)


@pytest.mark.tensorflow
def test_data_sets_tell_by_their_types(plain):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    for run in (plain.fit, plain.evaluate):
        with pytest.raises(ValueError, match="'image' is given uint8"):
            run(data, verbose=0)
    with pytest.raises(ValueError, match="'image' is given uint8"):
        plain.predict(data.map(lambda x, y: x), verbose=0)
    scaled = data.map(lambda x, y: (x / 255, y))
    assert np.isfinite(plain.evaluate(scaled, verbose=0)).all()


RAW = {
    "ResNet": lambda: built(ResNet(depth=8, width=4)),
    "a convolution": lambda: layered(L.Conv2D(2, 3)),
    "after augmentation": lambda: layered(L.RandomFlip(), L.ZeroPadding2D(1), L.Conv2D(2, 3)),
    "after pooling": lambda: layered(L.AveragePooling2D(2), L.DepthwiseConv2D(3)),
    "flat": lambda: layered(L.Flatten(), L.Dense(3)),
    "flat and grey": lambda: layered(L.Flatten(), L.Dense(3), shape=(28, 28)),
    "after a cast": lambda: layered(lambda x: keras.ops.cast(x, "float32"), L.Conv2D(2, 3)),
    "an inner model": lambda: layered(keras.Sequential([keras.Input(SHAPE), L.Conv2D(2, 3)])),
}
SCALED = {
    "a scaling": lambda: layered(L.Rescaling(1 / 255), L.Conv2D(2, 3)),
    "a scaling in an inner model": lambda: layered(
        keras.Sequential([keras.Input(SHAPE), L.Rescaling(1 / 127.5, -1), L.Conv2D(2, 3)])
    ),
    "a scaling after augmentation": lambda: layered(L.RandomFlip(), L.Rescaling(1 / 255), L.Conv2D(2, 3)),
    "a network's preprocessing": lambda: layered(mtlkeras.layers.ImagePreprocessing("tf"), L.Conv2D(2, 3)),
}
UNKNOWN = {
    "a normalisation": lambda: layered(L.BatchNormalization(), L.Conv2D(2, 3)),
    "a division": lambda: layered(lambda x: x / 255.0, L.Conv2D(2, 3)),
}


@pytest.mark.parametrize("name", [*RAW, *SCALED, *UNKNOWN])
def test_what_scales_is_found(name):
    model = {**RAW, **SCALED, **UNKNOWN}[name]()
    image = keras.tree.flatten(model.input)[0]
    assert (is_unscaled(model, image), rescales(model, image)) == (name in RAW, name in SCALED)
    x = np.zeros((1, *image.shape[1:]), "uint8")
    if name in RAW:
        with pytest.raises(ValueError, match="is given uint8 pictures"):
            check_pixels(model, x)
    else:
        check_pixels(model, x)
    check_pixels(model, x.astype("float32"))


def test_uint8_inputs_are_scaled_by_the_trunk_and_take_whole_numbers_alone(tmp_path):
    model = built(ResNet(depth=8, width=4), keras.Input(SHAPE, dtype="uint8", name="image"))
    same = built(ResNet(depth=8, width=4), keras.Input(SHAPE, name="image"))
    same.set_weights(model.get_weights())
    answers = model.predict(X, verbose=0)["a"]
    np.testing.assert_allclose(same.predict(X.astype("float32") / 255, verbose=0)["a"], answers, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X.astype("float32"), verbose=0)["a"], answers)
    for wrong, value in ((X / 255, "0"), (X.astype("int32") * 2, r"\d"), (-X.astype("int32"), "-")):
        with pytest.raises(ValueError, match=f"'image' takes uint8 pictures.* such as {value}"):
            model.predict(wrong, verbose=0)
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, picture in zip(paths, X, strict=False):
        keras.utils.save_img(path, picture, scale=False)
    np.testing.assert_array_equal(model.predict(paths, verbose=0)["a"], model.predict(X[:2], verbose=0)["a"])
    assert len(model.predict_labels(paths, verbose=0)["a"]) == 2


def test_tables_of_uint8_and_other_numbers_pass():
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(depth=1, width=2), {"a": Classification(2)})
    bits = np.ones((3, 8), "uint8")
    assert model.predict(bits, verbose=0)["a"].shape == (3, 2)
    boards = layered(L.Conv2D(2, 3))
    assert boards.predict(X.astype("int8"), verbose=0)["a"].shape == (4, 2)
