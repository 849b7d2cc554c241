"""MultiFashion: two overlaid Fashion-MNIST pictures of 36x36 pixels; the left and the right article.

After MultiMNIST (Sabour et al. 2017; Sener and Koltun 2018) with clothes (Lin et al. 2019).
"""

from __future__ import annotations

import keras
import numpy as np

import mtlkeras
from mtlkeras.heads import Classification

EPOCHS = 10
BATCH_SIZE = 256
SEED = 0
MONITOR = "val_loss"
RESULT = "mean test accuracy of 0.823 over left and right with the LeNet trunk (mean of seeds 0, 1 and 2)"
DATA = "Fashion-MNIST comes from TFDS, or from its four IDX files in a folder named fashion-mnist (30 MB)."

SPLITS = {"train": "train[:55000]", "valid": "train[55000:]", "test": "test"}
ITEM, CANVAS = 28, 36


def data(split, batch_size, data_dir=None):
    items = mtlkeras.data.load(
        "fashion_mnist",
        {"article": "label"},
        split=SPLITS[split],
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
    )
    images, labels = mtlkeras.data.to_arrays(items)
    # Every picture is once on the left, and once on the right of another.
    partner = derangement(len(images), SEED + list(SPLITS).index(split))
    return mtlkeras.data.load(
        (overlay(images, images[partner]), {"left": labels["article"], "right": labels["article"][partner]}),
        tasks={"left": "left", "right": "right"},
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
    )


def derangement(count, seed):
    """Draws a permutation that leaves nothing in its place."""
    cycle = np.random.default_rng(seed).permutation(count)
    partner = np.empty(count, int)
    partner[cycle] = np.roll(cycle, 1)
    return partner


def overlay(left, right):
    """Lays pictures at the upper left over others at the lower right; the brighter pixel shows."""
    canvas = np.zeros((len(left), CANVAS, CANVAS, 1), "uint8")
    canvas[:, :ITEM, :ITEM] = left
    corner = canvas[:, CANVAS - ITEM :, CANVAS - ITEM :]
    np.maximum(corner, right, out=corner)
    return canvas


def lenet(image):
    """The shared layers of Sener and Koltun's LeNet: two convolutions and one dense layer."""
    x = keras.layers.Rescaling(1 / 255)(image)
    for filters in (10, 20):
        x = keras.layers.Conv2D(filters, 5, activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dense(50, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(image, x)


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 215)
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    image = keras.Input((CANVAS, CANVAS, 1), dtype="uint8", name="image")
    model = mtlkeras.build_model(
        inputs=image,
        trunk=lenet(image),
        heads={"left": Classification(10, hidden=(50,)), "right": Classification(10, hidden=(50,))},
    )
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
