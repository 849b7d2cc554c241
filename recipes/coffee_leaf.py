"""Coffee leaves: kind of damage, its severity in five steps, and four yes/no findings, from a photograph.

Esgario, Krohling and Ventura 2020. Where a leaf has several kinds of damage, its main one is taken as
unknown: the findings tell them all.
"""

from __future__ import annotations

import keras
import tensorflow as tf

import mtlkeras
from mtlkeras.data import Label
from mtlkeras.heads import Classification, MultiLabel, Ordinal
from mtlkeras.trunks import ResNet

EPOCHS = 30
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_loss"
RESULT = "test accuracy of about 0.88 for stress and 0.77 for severity, AUC of 0.94 for the findings"
DATA = "images.zip with labels.csv beside it, in a folder named coffee-leaf (26 MB)."

# Class names and what stands for them in labels.csv.
STRESS = {"healthy": 0, "miner": 1, "rust": 2, "phoma": 3, "cercospora": 4}
SEVERITY = {"healthy": 0, "very low": 1, "low": 2, "high": 3, "very high": 4}
FINDINGS = ("miner", "rust", "phoma", "cercospora")
SIZE = (128, 256)


def data(split, batch_size, data_dir=None):
    dataset = mtlkeras.data.load(
        "coffee-leaf/images.zip",
        tasks={
            "stress": Label("predominant_stress", classes=STRESS, missing=["5"]),
            "severity": Label("severity", classes=SEVERITY),
            "findings": Label(FINDINGS),
        },
        split=split,
        image_size=SIZE,
        batch_size=batch_size,
        seed=SEED,
        cache=True,
        data_dir=data_dir,
    )
    return mtlkeras.data.augment(dataset, augment, SEED) if split == "train" else dataset


def augment(images, labels, seed):
    """Turns each picture upside down, from left to right, or both, each with a chance of one half."""
    for axis in (1, 2):
        drawn = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), [seed, axis]) < 0.5
        images = tf.where(drawn, tf.reverse(images, [axis]), images)
    return images, labels


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 40)
    model = mtlkeras.build_model(
        inputs=keras.Input((*SIZE, 3), dtype="uint8", name="image"),
        trunk=ResNet(depth=18, width=hp.Choice("width", [16, 32]), l2=1e-4),
        heads={
            "stress": Classification(len(STRESS), class_names=tuple(STRESS)),
            "severity": Ordinal(len(SEVERITY), class_names=tuple(SEVERITY)),
            "findings": MultiLabel(len(FINDINGS), label_names=FINDINGS, metrics=("accuracy", "auc")),
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=2e-3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
