"""Every image trunk with every kind of head, at two sizes: build, fit, overfit, save, load, export."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.trunks import MLP, VGG, AlexNet, GoogLeNet, Pretrained, ResNet
from tests.support import all_heads, examples

# What each part does is in trunks/, heads/, test_export.py and recipes/, in every run of the tests.
pytestmark = pytest.mark.slow

SMALL = {"normalization": "batch", "dropout": 0.0}
TRUNKS = {
    "alexnet": AlexNet(width=12, fc_units=32, **SMALL),
    "vgg": VGG(depth=11, width=8, fc_units=32, **SMALL),
    "googlenet": GoogLeNet(width=8, **SMALL),
    "resnet": ResNet(depth=8, width=8),
    "resnet_imagenet": ResNet(depth=18, width=8),
}
CASES = [(name, shape) for name in TRUNKS for shape in ((28, 28, 1), (64, 64, 3))]
COUNT = 8


def fitted(trunk, shape):
    """A model that has seen a handful of examples some tens of times, and its logs."""
    _, y = examples(COUNT)
    x = np.random.default_rng(0).normal(size=(COUNT, *shape)).astype("float32")
    model = mtlkeras.build_model(shape, trunk, all_heads())
    model.compile(keras.optimizers.Adam(3e-3))
    first = model.fit(x, y, batch_size=4, verbose=0).history  # Two steps.
    last = model.fit(x, y, batch_size=COUNT, epochs=25, verbose=0, shuffle=False).history
    return model, x, first, last


def check_learns_and_travels(model, x, first, last, folder):
    for task in model.heads:
        name = f"{task}_loss"
        assert np.isfinite(last[name]).all() and last[name][-1] < 0.8 * first[name][0], (
            name,
            first[name],
            last[name],
        )
    outputs = model.predict(x, verbose=0)
    model.save(folder / "model.keras")
    again = mtlkeras.load_model(folder / "model.keras")
    assert again.heads == model.heads
    for task, expected in again.predict(x, verbose=0).items():
        np.testing.assert_allclose(expected, outputs[task], atol=1e-6, err_msg=task)
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    model.export(folder / "served")
    served = tf.saved_model.load(str(folder / "served"))
    for task, expected in served.serve_raw(x).items():
        np.testing.assert_allclose(expected, outputs[task], atol=1e-5, err_msg=task)


@pytest.mark.parametrize(
    "name, shape", CASES, ids=lambda v: v if isinstance(v, str) else "x".join(map(str, v))
)
def test_image_trunk_with_every_head(name, shape, tmp_path):
    model, x, first, last = fitted(TRUNKS[name], shape)
    assert keras.saving.serialize_keras_object(TRUNKS[name]) == keras.saving.serialize_keras_object(
        model.trunk.get_layer("features").trunk
    )
    check_learns_and_travels(model, x, first, last, tmp_path)


def test_table_trunk_with_every_head(tmp_path):
    check_learns_and_travels(*fitted(MLP(depth=2, width=32, normalization="batch"), (12,)), tmp_path)


def test_pretrained_trunk_with_every_head(tmp_path):
    trunk = Pretrained("MobileNetV2", weights=None)
    model, x, first, last = fitted(trunk, (64, 64, 3))
    check_learns_and_travels(model, x, first, last, tmp_path)
