"""Nuclei in microscope pictures: their mask and boundaries, how many they are, and the kind of picture.

Data Science Bowl 2018 (Caicedo et al. 2019), the middle 128 x 128 pixels of each picture. A boundary is what
parts a nucleus from its neighbour to the right or below.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import mtlkeras
from mtlkeras.data import Label
from mtlkeras.heads import Classification, Regression, Segmentation
from mtlkeras.trunks import ResNet

EPOCHS = 30
BATCH_SIZE = 16
SEED = 0
ADAPT = True
MONITOR = ("val_nuclei_iou_nucleus", "val_boundary_iou_boundary")
RESULT = "test: IoU of nuclei 0.830, of boundaries 0.466, error of the count 5.0, modality 1.000 (seed 0)"
DATA = "One file of arrays, nuclei128.npz, in a folder named nuclei-dsb2018 (9 MB)."

MODALITIES = ("dark", "bright grey", "stained")
SPLITS = {"train": "0", "valid": "1", "test": "2"}
MASKS = ("nuclei", "boundary")


def arrays(split, data_dir=None):
    """Returns pictures and labels of a split."""
    whole = mtlkeras.data.load(
        "nuclei-dsb2018/nuclei128.npz",
        tasks={
            "instances": Label("instances", kind="array"),
            "count": Label("count", kind="number"),
            "modality": Label("modality", classes={name: i for i, name in enumerate(MODALITIES)}),
        },
        inputs="images",
        split=SPLITS[split],
        shuffle=False,
        data_dir=data_dir,
    )
    images, labels = mtlkeras.data.to_arrays(whole)
    nuclei = labels.pop("instances")
    boundary = np.zeros(nuclei.shape, "uint8")
    boundary[:, :, :-1] |= nuclei[:, :, :-1] != nuclei[:, :, 1:]
    boundary[:, :-1] |= nuclei[:, :-1] != nuclei[:, 1:]
    masks = {"nuclei": (nuclei > 0).astype("uint8"), "boundary": boundary}
    return images, {**labels, **masks}


def data(split, batch_size, data_dir=None):
    images, labels = arrays(split, data_dir)
    dataset = mtlkeras.data.load(
        ({"image": images}, labels),
        tasks={
            "nuclei": Label("nuclei", kind="mask", classes=("background", "nucleus")),
            "boundary": Label("boundary", kind="mask", classes=("none", "boundary")),
            "count": Label("count", kind="number"),
            "modality": Label(
                "modality", kind="class", classes={name: i for i, name in enumerate(MODALITIES)}
            ),
        },
        inputs="image",
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
    )
    if split != "train":
        return dataset
    return mtlkeras.data.augment(dataset, mtlkeras.data.move_together(turned, MASKS), SEED)


def turned(x, seed):
    """Mirrors pictures along each side and swaps their sides, each with a chance of one half."""
    for number, change in enumerate((lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], _swapped)):
        drawn = tf.random.stateless_uniform((tf.shape(x)[0], 1, 1, 1), [seed, number]) < 0.5
        x = tf.where(drawn, change(x), x)
    return x


def _swapped(x):
    return tf.transpose(x, (0, 2, 1, 3))


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 30)
    decoder = hp.Choice("decoder", ["fpn", "unet", "linear"])
    losses = ("crossentropy", "dice")
    model = mtlkeras.build_model(
        inputs=keras.Input((128, 128, 3), dtype="uint8", name="image"),
        trunk=ResNet(depth=18, width=hp.Choice("width", [16, 24, 32]), stem="small", l2=1e-4),
        heads={
            "nuclei": Segmentation(
                2, class_names=("background", "nucleus"), decoder=decoder, width=24, loss_kind=losses,
                metrics=("accuracy", "mean_iou", "iou_nucleus", "dice_nucleus", "boundary_f1"),
            ),
            "boundary": Segmentation(
                2, class_names=("none", "boundary"), decoder=decoder, width=24, loss_kind=losses,
                metrics=("iou_boundary", "dice_boundary"),
            ),
            "count": Regression(loss_kind="huber", metrics=("mae", "r2")),
            "modality": Classification(len(MODALITIES), class_names=MODALITIES),
        },
    )  # fmt: skip
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=2e-3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
