"""UD English EWT: parts of speech (17 and 49), morphological features (230) and the genre, by one BiLSTM.

`--set tasks=upos` trains one task alone, on the same trunk, to be compared with all four together, and
`--set tasks=upos,feats` two of them.
"""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Label, TextEncoder
from mtlkeras.heads import Classification, Tagging
from mtlkeras.trunks import BiLSTM

EPOCHS = 14
BATCH_SIZE = 32
SEED = 0
MONITOR = ("val_upos_accuracy", "val_loss")
RESULT = "test accuracy of UPOS 0.953, XPOS 0.949, FEATS 0.961, genre 0.613 (seed 0)"
DATA = (
    "Version 2.16 as train.tsv.gz, dev.tsv.gz and test.tsv.gz with the columns FORM to DEPREL of CoNLL-U, in "
    "a folder named ud-english-ewt (1.8 MB)."
)

COLUMNS = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel")
TAGS = ("upos", "xpos", "feats")
TASKS = (*TAGS, "genre")
FILES = {"train": "train", "valid": "dev", "test": "test"}


def data(split, batch_size, data_dir=None):
    _, classes = vocabularies(data_dir)
    return mtlkeras.data.load(
        f"ud-english-ewt/{FILES[split]}.tsv.gz",
        columns=COLUMNS,
        tasks={task: label.replace(classes=classes[task]) for task, label in LABELS.items()},
        inputs="form",
        split=None,
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        data_dir=data_dir,
    )


LABELS = {
    **{task: Label(task, kind="tags") for task in TAGS},
    "genre": Label("sent_id", pattern="^([a-z]+)-"),
}


@functools.cache
def vocabularies(data_dir=None):
    """Returns the encoder of the training words and the classes by task.

    Classes are those of all splits: the few words of the test split with a bundle of features that
    training never had are then counted, as errors.
    """
    found = {task: {} for task in TASKS}
    for name in FILES.values():
        part = mtlkeras.data.load(
            f"ud-english-ewt/{name}.tsv.gz",
            columns=COLUMNS,
            tasks=LABELS,
            inputs="form",
            split=None,
            data_dir=data_dir,
        )
        for task, report in mtlkeras.data.describe(part).tasks.items():
            found[task].update(dict.fromkeys(report.classes))
        if name == "train":
            encoder = TextEncoder.from_dataset(
                part, lowercase=True, casing=True, characters=True, oov_dropout=0.25
            )
    return encoder, {task: tuple(names) for task, names in found.items()}


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 392)
    encoder, classes = vocabularies(hp.Fixed("data_dir", "") or None)
    heads = {
        **{task: Tagging(classes[task]) for task in TAGS},
        "genre": Classification(len(classes["genre"]), class_names=classes["genre"], loss_weight=0.1),
    }
    tasks = hp.Fixed("tasks", ",".join(TASKS)).split(",")
    if not set(tasks) <= set(heads):
        raise ValueError(f"tasks must be some of {','.join(TASKS)}; received {','.join(tasks)}.")
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="tokens"),
        trunk=BiLSTM(
            units=hp.Choice("units", [200, 100, 300]),
            depth=hp.Choice("depth", [1, 2]),
            dropout=hp.Choice("dropout", [0.4, 0.3, 0.5]),
            characters=hp.Choice("characters", ["cnn", "bilstm"]),
            character_units=100,
            encoder=encoder,
        ),
        heads={task: heads[task] for task in tasks},
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=4e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0)
    )
    return model
