"""Emoji as pictures of 32x32: category (10), subcategory (99) below it, skin tone where known, vendor.

The subcategory's head reads the scores of the category. The skin tone is known for people and hands alone:
the labels of all others are missing. All drawings of one emoji are in one split.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import keras
import numpy as np

import mtlkeras
from mtlkeras.data import Label, Shift
from mtlkeras.heads import Classification
from mtlkeras.trunks import ResNet

EPOCHS = 8
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_subcategory_accuracy"
RESULT = "test: category 0.723, subcategory 0.484, skin tone 0.853, vendor 0.880 (seed 0)"
DATA = "images32.npz and labels.csv, in a folder named emoji (9 MB)."

VENDORS = ("twitter", "google")
TONES = {"default": 0, "light": 1, "medium light": 2, "medium": 3, "medium dark": 4, "dark": 5, "two": 6}
WITH_SKIN = "People & Body"


def data(split, batch_size, data_dir=None):
    names = classes(data_dir)
    rows = load(
        {**{task: Label(task, classes=known) for task, known in names.items()}, **OTHERS}, split, data_dir
    )
    numbers, labels = mtlkeras.data.to_arrays(rows)
    people = labels["category"] == names["category"].index(WITH_SKIN)
    labels["skin_tone"] = np.where(people, labels["skin_tone"], mtlkeras.MISSING)
    dataset = mtlkeras.data.load(
        ({"image": pictures(data_dir)[numbers[:, 0].astype(int)]}, labels),
        tasks={task: task for task in labels},
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
    )
    # Not mirrored: where a hand points is what some emoji differ in.
    return mtlkeras.data.augment(dataset, Shift(3), SEED) if split == "train" else dataset


OTHERS = {
    "skin_tone": Label("skin_tone", classes=TONES),
    "vendor": Label("vendor", classes=VENDORS),
}


def load(tasks, split, data_dir=None):
    """Returns the numbers of a split's pictures, and their labels."""
    return mtlkeras.data.load(
        "emoji/labels.csv", tasks, "row", split=split, shuffle=False, batch_size=1000, data_dir=data_dir
    )


@functools.cache
def classes(data_dir=None):
    """Returns the names of the classes by task, those that are in one split alone among them."""
    found = mtlkeras.data.describe(
        load({task: task for task in ("category", "subcategory")}, None, data_dir)
    ).tasks
    return {task: found[task].classes for task in found}


def pictures(data_dir=None):
    """Returns the pictures of all rows, uint8."""
    folders = [Path(folder) for folder in (data_dir, os.environ.get("MTLKERAS_DATA"), ".") if folder]
    paths = [folder / "emoji" / "images32.npz" for folder in folders]
    with np.load(next((path for path in paths if path.exists()), paths[0])) as file:
        return file["images"]


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 82)
    names = classes(hp.Fixed("data_dir", "") or None)
    model = mtlkeras.build_model(
        inputs={"image": keras.Input((32, 32, 3), dtype="uint8", name="image")},
        trunk=ResNet(depth=hp.Choice("depth", [8, 14, 20]), width=hp.Choice("width", [16, 32]), l2=1e-4),
        heads={
            "category": Classification(len(names["category"]), class_names=names["category"]),
            "subcategory": Classification(
                len(names["subcategory"]),
                class_names=names["subcategory"],
                after=("category",),
                metrics=("accuracy", "top_5_accuracy"),
            ),
            "skin_tone": Classification(len(TONES), class_names=tuple(TONES)),
            "vendor": Classification(2, class_names=VENDORS),
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=3e-3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
