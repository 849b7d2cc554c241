"""CrossWOZ: acts, domains, speaker and slots of Chinese dialogue turns, read by their characters."""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Label, TagEncoder, TextEncoder
from mtlkeras.heads import Classification, CRFTagging, MultiLabel
from mtlkeras.trunks import BiLSTM

EPOCHS = 12
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_slots_f1"
RESULT = "test F1: slots 0.937, domains 0.902, acts 0.824; role accuracy 0.992 (seed 0)"
DATA = (
    "train, valid and test.jsonl.gz with text, slots by character, acts, domains and role, in a folder named "
    "crosswoz-nlu (0.6 MB)."
)

ACTS = ("General", "Inform", "NoOffer", "Recommend", "Request", "Select")
ROLES = ("usr", "sys")


def data(split, batch_size, data_dir=None):
    _, domains, tags = vocabularies(data_dir)
    return mtlkeras.data.load(
        f"crosswoz-nlu/{split}.jsonl.gz",
        tasks={
            "acts": Label("acts", kind="multi", classes=ACTS),
            "domains": Label("domains", kind="multi", classes=domains),
            "role": Label("role", classes=ROLES),
            "slots": Label("slots", kind="tags", classes=tags),
        },
        inputs="text",
        tokenize={"text": "characters"},
        split=None,
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        data_dir=data_dir,
    )


@functools.cache
def vocabularies(data_dir=None):
    """Returns the encoder of characters, the domains and the tags of the training split."""
    train = mtlkeras.data.load(
        "crosswoz-nlu/train.jsonl.gz",
        tasks={"domains": Label("domains", kind="multi"), "slots": Label("slots", kind="tags")},
        inputs="text",
        tokenize={"text": "characters"},
        split=None,
        data_dir=data_dir,
    )
    found = mtlkeras.data.describe(train).tasks
    encoder = TextEncoder.from_dataset(train, split="characters", oov_dropout=0.25)
    return encoder, found["domains"].classes, TagEncoder.from_types(found["slots"].classes).tags


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 220)
    encoder, domains, tags = vocabularies(hp.Fixed("data_dir", "") or None)
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="characters"),
        trunk=BiLSTM(
            units=hp.Choice("units", [150, 100, 200]),
            depth=hp.Choice("depth", [1, 2]),
            dropout=hp.Choice("dropout", [0.3, 0.2, 0.4]),
            encoder=encoder,
        ),
        heads={
            "acts": MultiLabel(len(ACTS), label_names=ACTS, metrics=("accuracy", "f1")),
            "domains": MultiLabel(len(domains), label_names=domains, metrics=("accuracy", "f1")),
            "role": Classification(2, class_names=ROLES),
            "slots": CRFTagging(tags, scheme="BIO"),
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=4e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0)
    )
    return model
