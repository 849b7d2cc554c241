"""HWU64: scenario (18), action (51), intent (64) and entities (54 types) of requests to a home assistant.

Fold 10 of the authors' ten is the test split, fold 9 the validation split; a copy with another
`TEST_FOLD` does the others. An intent is a scenario with an action, and the model is not told so.
"""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Label, TagEncoder, TextEncoder
from mtlkeras.heads import Classification, CRFTagging
from mtlkeras.trunks import BiLSTM

EPOCHS = 20
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_intent_accuracy"
RESULT = "test, fold 10: scenario 0.921, action 0.888, intent 0.878, entities F1 0.776 (seed 0)"
DATA = "The ten folds as JSON lines, all.jsonl.gz, in a folder named hwu64 (0.2 MB)."

TEST_FOLD = 10
CLASSES = ("scenario", "action", "intent")


def data(split, batch_size, data_dir=None):
    _, classes, tags = vocabularies(data_dir)
    return mtlkeras.data.load(
        "hwu64/all.jsonl.gz",
        tasks={
            **{task: Label(task, classes=names) for task, names in classes.items()},
            "entities": Label("slots", kind="tags", classes=tags),
        },
        inputs="tokens",
        split=folds(split),
        split_column="fold",
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        data_dir=data_dir,
    )


def folds(split):
    """Returns the folds of a split, as `mtlkeras.data.load` reads them."""
    valid = TEST_FOLD - 1 or 10
    rest = [str(fold) for fold in range(1, 11) if fold not in (valid, TEST_FOLD)]
    return {"train": "+".join(rest), "valid": str(valid), "test": str(TEST_FOLD)}[split]


@functools.cache
def vocabularies(data_dir=None):
    """Returns the encoder of the training words, the classes by task, and the tags.

    The names are those of all folds: a rare entity may be in the test fold alone.
    """
    load = functools.partial(
        mtlkeras.data.load,
        "hwu64/all.jsonl.gz",
        tasks={**{task: task for task in CLASSES}, "entities": Label("slots", kind="tags")},
        inputs="tokens",
        split_column="fold",
        data_dir=data_dir,
    )
    found = mtlkeras.data.describe(load(split=None)).tasks
    encoder = TextEncoder.from_dataset(
        load(split=folds("train")), lowercase=True, characters=True, oov_dropout=0.25
    )
    tags = TagEncoder.from_types(found["entities"].classes).tags
    return encoder, {task: found[task].classes for task in CLASSES}, tags


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 269)
    encoder, classes, tags = vocabularies(hp.Fixed("data_dir", "") or None)
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="tokens"),
        trunk=BiLSTM(
            units=hp.Choice("units", [200, 100, 300]),
            depth=hp.Choice("depth", [1, 2]),
            dropout=hp.Choice("dropout", [0.5, 0.3, 0.4, 0.6]),
            pooling=hp.Choice("pooling", ["attention", "max", "mean", "last"]),
            encoder=encoder,
        ),
        heads={
            **{task: Classification(len(names), class_names=names) for task, names in classes.items()},
            "entities": CRFTagging(tags, scheme="BIO"),
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=4e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0),
        joint_metrics=[mtlkeras.metrics.ExactMatch(("intent", "entities"))],
    )
    return model
