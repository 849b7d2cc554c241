"""Yeast: which of 14 functions a gene has, from its expression (Elisseeff and Weston 2001).

The functions depend on each other. They are the links of a tree, found from the labels of training; the
choice "chain" takes them in their order, "none" decides on each by itself.
"""

from __future__ import annotations

import keras
import numpy as np

import mtlkeras
from mtlkeras.data import Label
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import MultiLabel
from mtlkeras.metrics import ExactMatch, HammingLoss, JointLogLikelihood
from mtlkeras.trunks import MLP

EPOCHS = 80
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_loss"
RESULT = "test exact match of 0.246 by answers together, Hamming loss of 0.193 (mean of seeds 0 and 1)"
DATA = "One table, yeast.csv.gz: Att1 to Att103 and Class1 to Class14, in a folder named yeast (1 MB)."

NUMBERS = [f"Att{i}" for i in range(1, 104)]
FUNCTIONS = tuple(f"Class{i}" for i in range(1, 15))
# The published split; the last 200 of its training part are for validation.
ROWS = {"train": slice(0, 1300), "valid": slice(1300, 1500), "test": slice(1500, None)}
# `TaskChain.from_labels` of the 1,300 genes of training.
TREE = (
    *((0, 1), (1, 3), (3, 2), (3, 5), (5, 4), (5, 6), (6, 7)),
    *((7, 8), (3, 12), (12, 11), (8, 9), (9, 10), (3, 13)),
)
DEPENDENCES = {
    "tree": TaskChain(tree=tuple((f"functions/{i}", f"functions/{j}") for i, j in TREE)),
    "chain": TaskChain(("functions",)),
    "none": None,
}


def arrays(split, data_dir=None):
    """Returns the numbers of a split's genes, and the matrix of their functions."""
    table = mtlkeras.data.load(
        "yeast/yeast.csv.gz",
        tasks={"functions": Label(FUNCTIONS)},
        inputs=NUMBERS,
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
    )
    x, y = mtlkeras.data.to_arrays(table)
    numbers = np.concatenate([np.reshape(x[name], (-1, 1)) for name in NUMBERS], axis=1)
    return numbers[ROWS[split]].astype("float32"), y["functions"][ROWS[split]]


def data(split, batch_size, data_dir=None):
    numbers, functions = arrays(split, data_dir)
    return mtlkeras.data.load(
        ({"expression": numbers}, {"functions": functions}),
        tasks={"functions": Label("functions")},
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
    )


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 21)
    dropout = hp.Choice("dropout", [0.5, 0.2, 0.0])
    l2 = hp.Choice("l2", [1e-4, 3e-4, 0.0])
    dependence = DEPENDENCES[hp.Choice("dependence", list(DEPENDENCES))]
    model = mtlkeras.build_model(
        inputs=keras.Input((len(NUMBERS),), name="expression"),
        trunk=MLP(
            depth=hp.Choice("depth", [2, 1, 3]),
            width=hp.Choice("width", [256, 128, 512]),
            dropout=dropout,
            l2=l2,
            scale={"expression": 0.097},  # Of every column, whose means are 0.
        ),
        heads={
            "functions": MultiLabel(
                len(FUNCTIONS),
                label_names=FUNCTIONS,
                dropout=dropout,
                l2=l2,
                metrics=("accuracy", "f1"),
                # The loss is the sum over the labels where they depend on each other, else their mean.
                loss_weight=1.0 if dependence is None else 1.0 / len(FUNCTIONS),
            )
        },
        dependence=dependence,
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=2e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        joint_metrics=[
            ExactMatch(("functions",)),
            ExactMatch(("functions",), joint=True),
            HammingLoss(("functions",)),
            JointLogLikelihood(("functions",)),
        ],
    )
    return model
