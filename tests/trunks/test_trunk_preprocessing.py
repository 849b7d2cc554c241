from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from mtlkeras.layers.preprocessing import CategoryIndex, ImagePreprocessing
from mtlkeras.trunks.pretrained import PREPROCESSING


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_every_network_of_keras_applications_is_known():
    classes = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(PREPROCESSING) == classes


@pytest.mark.parametrize("name", sorted(PREPROCESSING))
def test_is_what_keras_applications_does(name):
    reference = sys.modules[getattr(keras.applications, name).__module__].preprocess_input
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype("uint8")
    mode = PREPROCESSING[name]
    y = x.astype("float32") if mode is None else numpy_of(ImagePreprocessing(mode)(x))
    np.testing.assert_allclose(y, reference(x.astype("float32")), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_gives_the_compute_dtype_with_float32_accuracy(mode):
    x = np.random.default_rng(0).uniform(0, 255, (1, 2, 2, 3)).astype("float32")
    half = numpy_of(ImagePreprocessing(mode, dtype="mixed_float16")(x))
    full = numpy_of(ImagePreprocessing(mode)(x))
    assert half.dtype == np.float16
    # Rounded once, at the end.
    np.testing.assert_array_equal(half, full.astype("float16"))


def test_preprocessing_survives_saving(tmp_path):
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, ImagePreprocessing("torch")(inputs))
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).uniform(0, 255, (1, 2, 2, 3)).astype("float32")
    np.testing.assert_array_equal(
        numpy_of(model(x)), numpy_of(keras.saving.load_model(tmp_path / "m.keras")(x))
    )


def test_wrong_mode_or_channels():
    with pytest.raises(ValueError, match="mode must be one of 'tf', 'torch', 'caffe'; received 'pytorch'"):
        ImagePreprocessing("pytorch")
    with pytest.raises(ValueError, match="needs images of 3 channels; received 4"):
        ImagePreprocessing("caffe")(keras.Input((8, 8, 4)))


def test_category_index():
    layer = CategoryIndex.from_config(CategoryIndex(3).get_config())
    codes = layer(np.array([[0, 2], [3, -1]]))
    assert keras.backend.standardize_dtype(codes.dtype) == "int32"
    np.testing.assert_array_equal(numpy_of(codes), [[1, 3], [0, 0]])
