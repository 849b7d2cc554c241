"""Coffee leaves: kind of damage, its severity in five steps, and four yes/no findings, from a photograph.

Esgario, Krohling and Ventura 2020. Where a leaf has several kinds of damage, its main one is taken as
unknown: the findings tell them all. With `masks` also a class for each pixel, of 500 leaves.
"""

from __future__ import annotations

import keras
import tensorflow as tf

import mtlkeras
from mtlkeras.data import Label
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Segmentation
from mtlkeras.trunks import ResNet

EPOCHS = 30
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_loss"
RESULT = "test accuracy of about 0.88 for stress and 0.77 for severity, AUC of 0.94 for the findings"
DATA = "images.zip, labels.csv, mask_images.zip and masks.zip in a folder named coffee-leaf (29 MB)."

# Class names and what stands for them in labels.csv.
STRESS = {"healthy": 0, "miner": 1, "rust": 2, "phoma": 3, "cercospora": 4}
SEVERITY = {"healthy": 0, "very low": 1, "low": 2, "high": 3, "very high": 4}
FINDINGS = ("miner", "rust", "phoma", "cercospora")
PIXELS = ("background", "leaf", "symptom")
SIZE = (128, 256)


def data(split, batch_size, data_dir, hp):
    options = {
        "image_size": SIZE,
        "batch_size": batch_size,
        "seed": SEED,
        "cache": True,
        "data_dir": data_dir,
    }
    leaves = mtlkeras.data.load(
        "coffee-leaf/images.zip",
        tasks={
            "stress": Label("predominant_stress", classes=STRESS, missing=["5"]),
            "severity": Label("severity", classes=SEVERITY),
            "findings": Label(FINDINGS),
        },
        split=split,
        **options,
    )
    if not hp.Boolean("masks", default=False):
        return mtlkeras.data.augment(leaves, augment, SEED) if split == "train" else leaves
    # A mask fits its own picture of a leaf, which is cut otherwise: a second data set, of masks alone.
    masked = mtlkeras.data.load(
        "coffee-leaf/mask_images.zip",
        tasks={"mask": Label("id", kind="mask", classes=PIXELS, files="masks.zip")},
        split=split,
        split_column="mask_split",
        **options,
    )
    train = split == "train"
    mixed = mtlkeras.data.mix(
        {"leaves": leaves, "masked": masked}, within="batch" if train else "epoch", shuffle=train, seed=SEED
    )
    return (
        mtlkeras.data.augment(mixed, mtlkeras.data.move_together(turned, ["mask"]), SEED) if train else mixed
    )


def augment(images, labels, seed):
    """Turns each picture upside down, from left to right, or both, each with a chance of one half."""
    return turned(images, seed), labels


def turned(images, seed):
    for axis in (1, 2):
        drawn = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), [seed, axis]) < 0.5
        images = tf.where(drawn, tf.reverse(images, [axis]), images)
    return images


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 40)
    mask = Segmentation(
        len(PIXELS),
        class_names=PIXELS,
        decoder="fpn",
        width=24,
        metrics=("mean_iou", *(f"iou_{c}" for c in PIXELS)),
    )
    model = mtlkeras.build_model(
        inputs=keras.Input((*SIZE, 3), dtype="uint8", name="image"),
        trunk=ResNet(depth=18, width=hp.Choice("width", [16, 32]), l2=1e-4),
        heads={
            "stress": Classification(len(STRESS), class_names=tuple(STRESS)),
            "severity": Ordinal(len(SEVERITY), class_names=tuple(SEVERITY)),
            "findings": MultiLabel(len(FINDINGS), label_names=FINDINGS, metrics=("accuracy", "auc")),
            **({"mask": mask} if hp.Boolean("masks", default=False) else {}),
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=2e-3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
