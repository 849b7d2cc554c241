"""Fashion-MNIST: the article (10 classes) and its group (tops, shoes, ...), from 28x28 pixels."""

from __future__ import annotations

import keras
import tensorflow as tf

import mtlkeras
from mtlkeras.heads import Classification
from mtlkeras.trunks import VGG, AlexNet, GoogLeNet, ResNet

EPOCHS = 16
BATCH_SIZE = 128
SEED = 0
MONITOR = "val_article_accuracy"
RESULT = "test accuracy of 0.942 for article and 0.987 for group with the ResNet trunk"
DATA = "Fashion-MNIST comes from TFDS, or from its four IDX files in a folder named fashion-mnist (30 MB)."

ARTICLES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
GROUPS = {
    "tops": ("T-shirt/top", "Pullover", "Coat", "Shirt"),
    "trousers": ("Trouser",),
    "dresses": ("Dress",),
    "shoes": ("Sandal", "Sneaker", "Ankle boot"),
    "bags": ("Bag",),
}
SPLITS = {"train": "train[:55000]", "valid": "train[55000:]", "test": "test"}


def resnet(hp):
    """The default, and the space around it that `mtlkeras tune fashion --set trunk=resnet` searches."""
    return ResNet(
        depth=hp.Choice("depth", [8, 14, 20, 26], default=8),
        width=hp.Choice("width", [16, 24, 32, 48], default=32),
        l2=hp.Choice("l2", [0.0, 1e-4, 2.5e-4, 5e-4, 1e-3], default=2.5e-4),
    )


TRUNKS = {
    "resnet": resnet,
    "alexnet": AlexNet(width=24, fc_units=256, normalization="batch", l2=1e-4),
    "vgg": VGG(depth=11, width=16, fc_units=256, normalization="batch", l2=1e-4),
    "googlenet": GoogLeNet(width=8, normalization="batch", l2=1e-4),
}


def data(split, batch_size, data_dir=None):
    dataset = mtlkeras.data.load(
        "fashion_mnist",
        tasks={
            "article": mtlkeras.data.Label("label", classes=ARTICLES),
            "group": mtlkeras.data.Label("label", classes=GROUPS),
        },
        split=SPLITS[split],
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
        cache=True,
        data_dir=data_dir,
    )
    return mtlkeras.data.augment(dataset, augment, SEED) if split == "train" else dataset


def augment(images, labels, seed, most=1):
    """Mirrors half of the images and shifts each by up to `most` pixels."""
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    drawn = tf.random.stateless_uniform((2, count, 1), [seed, 0], maxval=2 * most + 1, dtype=tf.int32)
    mirrored = tf.random.stateless_uniform((count, 1), [seed, 1]) < 0.5
    rows = drawn[0] + tf.range(height)
    columns = drawn[1] + tf.where(mirrored, tf.range(width)[::-1], tf.range(width))
    padded = tf.pad(images, [[0, 0], [most, most], [most, most], [0, 0]])
    shifted = tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    return tf.ensure_shape(shifted, images.shape), labels


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 430)
    model = mtlkeras.build_model(
        inputs=keras.Input((28, 28, 1), dtype="uint8", name="image"),
        trunk=mtlkeras.tuning.choose(hp, "trunk", TRUNKS),
        heads={
            "article": Classification(len(ARTICLES), class_names=ARTICLES),
            "group": Classification(len(GROUPS), class_names=tuple(GROUPS)),
        },
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        warmup_target=hp.Float("learning_rate", 1e-3, 1.0, sampling="log", default=0.1),
        warmup_steps=steps // 6,
        decay_steps=steps - steps // 6,
    )
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True))
    return model
