"""Every picture trunk with every head of pictures, pruned: what is left is right, whole, and goes on."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.compress import flops_by_layer, prune_channels
from mtlkeras.compress._named import named_layers
from mtlkeras.heads import (
    Classification,
    DenseRegression,
    MultiLabel,
    Ordinal,
    Regression,
    Segmentation,
)
from mtlkeras.trunks import VGG, AlexNet, GoogLeNet, Pretrained, ResNet, Staged

pytestmark = [pytest.mark.slow, pytest.mark.eager]
RNG = np.random.default_rng(0)
ROWS, CLASSES = 4, 3


def lenet(shape):
    """A functional model as people write it, which gives a vector."""
    layers = keras.layers
    x = inputs = keras.Input(shape)
    for number, filters in enumerate((6, 16), 1):
        x = layers.Conv2D(filters, 5, padding="same", activation="tanh", name=f"conv_{number}")(x)
        x = layers.AveragePooling2D(2, name=f"pool_{number}")(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(20, "tanh", name="dense")(x))


def convolutions(shape):
    """A functional model that gives a map, with stages."""
    layers = keras.layers
    x = inputs = keras.Input(shape)
    for number, filters in enumerate((12, 16, 24), 1):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(name=f"norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    return Staged(keras.Model(inputs, x), cuts=("relu_1", "relu_2"))


def densenet(shape):
    """Blocks of concatenations, as in DenseNet-121."""
    layers = keras.layers
    inputs = keras.Input(shape)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    for block in (1, 2, 3):
        for number in (1, 2):
            name = f"block_{block}_{number}"
            y = layers.BatchNormalization(name=f"{name}_norm_1")(x)
            y = layers.Conv2D(12, 1, use_bias=False, name=f"{name}_conv_1")(layers.ReLU()(y))
            y = layers.BatchNormalization(name=f"{name}_norm_2")(y)
            y = layers.Conv2D(4, 3, padding="same", use_bias=False, name=f"{name}_conv_2")(layers.ReLU()(y))
            x = layers.Concatenate(name=name)([x, y])
        x = layers.BatchNormalization(name=f"transition_{block}_norm")(x)
        x = layers.Conv2D(8, 1, use_bias=False, name=f"transition_{block}")(layers.ReLU()(x))
        x = layers.AveragePooling2D(2, name=f"pool_{block}")(x)
    return Staged(keras.Model(inputs, x), cuts=("pool_1", "pool_2"))


def applied(name, **options):
    return Pretrained(name, weights=None, options=options)


TRUNKS = {
    "AlexNet": (AlexNet(width=16, fc_units=16), 16),
    "AlexNet, one tower": (AlexNet(width=8, fc_units=16, towers=1, normalization="batch"), 16),
    "VGG": (VGG(depth=11, width=4, fc_units=16), 32),
    "VGG, batch": (VGG(depth=11, width=4, fc_units=16, normalization="batch"), 32),
    "VGG, group": (VGG(depth=11, width=16, fc_units=16, normalization="group"), 32),
    "GoogLeNet": (GoogLeNet(width=8), 16),
    "GoogLeNet, batch": (GoogLeNet(width=8, normalization="batch"), 16),
    "ResNet, padding": (ResNet(depth=8, width=8), 16),
    "ResNet, projection": (ResNet(depth=8, width=8, shortcut="projection"), 16),
    "ResNet, bottleneck": (ResNet(depth=50, width=4, zero_last_gamma=True), 16),
    "ResNet, group": (ResNet(depth=8, width=16, normalization="group"), 16),
    "ResNet, per source": (ResNet(depth=8, width=8, normalization="batch_per_source", sources=2), 16),
    "ResNet, none": (ResNet(depth=8, width=8, normalization=None), 16),
    "LeNet": (lenet, 16),
    "convolutions": (convolutions, 32),
    "DenseNet": (densenet, 32),
    "MobileNet": (applied("MobileNet", alpha=0.25), 32),
    "MobileNetV2": (applied("MobileNetV2", alpha=0.35), 32),
    "MobileNetV3Small": (applied("MobileNetV3Small"), 32),
    "EfficientNetB0": (applied("EfficientNetB0"), 32),
    "Xception": (applied("Xception"), 71),
    "NASNetMobile": (applied("NASNetMobile"), 32),
    "ConvNeXtTiny": (applied("ConvNeXtTiny"), 32),
    "DenseNet121": (applied("DenseNet121"), 32),
}
LARGE = ("EfficientNetB0", "Xception", "NASNetMobile", "ConvNeXtTiny", "DenseNet121")
"""Of these the flat heads alone: MobileNets have the same layers, and are read by decoders too."""


def dense_heads(decoder):
    return {
        "area": Segmentation(CLASSES, decoder=decoder, width=2, hidden=(3,)),
        "marks": Segmentation(2, exclusive=False, decoder=decoder, width=2),
        "depth": DenseRegression(decoder=decoder, width=2),
    }


HEADS = {
    "flat": {
        "kind": Classification(CLASSES),
        "deep": Classification(CLASSES, hidden=(6,)),
        "signs": MultiLabel(2),
        "size": Regression(2),
        "grade": Ordinal(CLASSES),
    },
    **{decoder: dense_heads(decoder) for decoder in ("fpn", "unet", "linear")},
}


def distinct(name, value):
    """Returns as many numbers, all different, as a weight has; about as large as its own."""
    steps = RNG.permutation(np.linspace(-1.0, 1.0, value.size)).reshape(value.shape)
    if value.ndim > 1 and "kernel" in name:
        fan_in = value.size / value.shape[-2 if name.startswith("depthwise") else -1]
        return steps * np.sqrt(3.0 / fan_in)
    mean = value.mean()
    return mean + (0.05 + 0.04 * steps) * max(1.0, abs(mean))


def make_distinct(model):
    for layer in {id(layer): layer for _, layer in named_layers(model)}.values():
        for weight in getattr(layer, "weights", ()):
            if "float" in weight.dtype and len(weight.shape):
                weight.assign(distinct(weight.name, weight.numpy()))


def model_of(trunk, size, heads):
    trunk = trunk((size, size, 3)) if callable(trunk) and not hasattr(trunk, "gives") else trunk
    inputs = (size, size, 3)
    if getattr(trunk, "reads_source", False):
        inputs = {"image": inputs, "source": keras.Input((1,), dtype="int32", name="source")}
    model = mtlkeras.build_model(inputs, trunk, heads)
    model.compile("sgd")
    return model


def batch_of(model, size):
    x = {
        tensor.name: RNG.integers(0, 2, (ROWS, *tensor.shape[1:])).astype(tensor.dtype)
        if "int" in tensor.dtype
        else RNG.normal(size=(ROWS, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    }
    y = {
        "kind": RNG.integers(0, CLASSES, ROWS),
        "deep": RNG.integers(0, CLASSES, ROWS),
        "signs": RNG.integers(0, 2, (ROWS, 2)),
        "size": RNG.normal(size=(ROWS, 2)),
        "grade": RNG.integers(0, CLASSES, ROWS),
        "area": RNG.integers(0, CLASSES, (ROWS, size, size)),
        "marks": RNG.integers(0, 2, (ROWS, size, size, 2)),
        "depth": RNG.normal(size=(ROWS, size, size)),
    }
    x = x if len(x) > 1 else next(iter(x.values()))
    return x, {task: y[task] for task in model.heads}


def silence(whole, pruned):
    """Makes zero in `whole` what `pruned` has not; returns how many channels that are.

    What is left of a weight must be its own numbers in its own order, told by their being different.
    """
    gone = 0
    for (name, layer), (same, there) in zip(named_layers(whole), named_layers(pruned), strict=True):
        assert name == same
        for weight, left in zip(getattr(layer, "weights", ()), getattr(there, "weights", ()), strict=True):
            value, rest = weight.numpy(), left.numpy()
            if value.shape == rest.shape:
                np.testing.assert_array_equal(value, rest)
                continue
            stays = np.isin(value, rest)
            kept = [stays.any(tuple(set(range(value.ndim)) - {axis})) for axis in range(value.ndim)]
            np.testing.assert_array_equal(value[np.ix_(*kept)], rest)
            gone += sum(int((~part).sum()) for part in kept)
            if not weight.name.startswith("moving_"):  # A variance of 0 would be no statistics.
                weight.assign(value * functools.reduce(np.multiply.outer, kept))
    return gone


def numbers(outputs):
    return {task: keras.ops.convert_to_numpy(value) for task, value in outputs.items()}


def assert_same(found, expected, tolerance=1e-5):
    for task, values in expected.items():
        assert np.isfinite(values).all()
        scale = max(1.0, np.abs(values).max())
        np.testing.assert_allclose(found[task], values, rtol=0, atol=tolerance * scale, err_msg=task)


def pruned_to(model, share, x, *arguments, **options):
    """Returns a model with a share of the operations, after comparing it with the masked one."""
    make_distinct(model)  # Training may make some alike.
    pruned = prune_channels(model, *arguments, flops=share, **options)
    assert sum(flops_by_layer(pruned).values()) <= share * sum(flops_by_layer(model).values())
    assert silence(model, pruned) > 0
    assert_same(numbers(pruned(x)), numbers(model(x)))
    return pruned


EVERY = [(name, kind) for name in TRUNKS for kind in HEADS if kind == "flat" or name not in ("LeNet", *LARGE)]


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_pruned_models(name, kind, tmp_path):
    trunk, size = TRUNKS[name]
    model = model_of(trunk, size, HEADS[kind])
    x, y = batch_of(model, size)
    # Of convolutions in groups TensorFlow has no gradients on some processors.
    trains = name != "ConvNeXtTiny" or keras.backend.backend() != "tensorflow"
    importance = "taylor" if trains else "magnitude"
    pruned = pruned_to(model, 0.5, x, (x, y), importance=importance)
    expected = numbers(pruned(x))

    pruned.save(tmp_path / "small.keras")
    loaded = mtlkeras.load_model(tmp_path / "small.keras")
    assert_same(numbers(loaded(x)), expected, 1e-6)
    if trains:
        loaded.train_on_batch(x, y)
    assert all(np.isfinite(weight.numpy()).all() for weight in loaded.weights)
    pruned_to(loaded, 0.7, x, importance="magnitude", keep=())


@pytest.mark.tensorflow
@pytest.mark.eager(False)
@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_pruned_models_are_exported(name, kind, tmp_path):
    import tensorflow as tf

    trunk, size = TRUNKS[name]
    model = model_of(trunk, size, HEADS[kind])
    x, _ = batch_of(model, size)
    make_distinct(model)
    pruned = prune_channels(model, flops=0.5, importance="magnitude")
    pruned.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    assert_same(numbers(served.serve_raw(keras.tree.map_structure(tf.constant, x))), numbers(pruned(x)), 1e-5)
    assert set(pruned.heads) <= set(served.serve(keras.tree.map_structure(tf.constant, x)))
