"""Requests about alarms, reminders and the weather: domain, intent and slots, by BiLSTM and CRF.

English of Schuster et al. 2019; a copy with another `LANGUAGE`, es or th, does the other two.
"""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Label, TagEncoder, TextEncoder
from mtlkeras.heads import Classification, CRFTagging, Tagging
from mtlkeras.trunks import BiLSTM

EPOCHS = 12
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_exact_match"
RESULT = "test: domain 0.999, intent 0.991, slots F1 0.960 (seed 0)"
DATA = (
    "The official splits as JSON lines with tokens, slots, intent and domain, in folders en, es and th of "
    "one named fb-multilingual (0.9 MB)."
)

LANGUAGE = "en"


def data(split, batch_size, data_dir=None):
    _, domains, intents, tags = vocabularies(data_dir)
    return mtlkeras.data.load(
        f"fb-multilingual/{LANGUAGE}/{split}.jsonl.gz",
        tasks={
            "domain": Label("domain", classes=domains),
            "intent": Label("intent", classes=intents),
            "slots": Label("slots", kind="tags", classes=tags),
        },
        inputs="tokens",
        split=None,
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        data_dir=data_dir,
    )


@functools.cache
def vocabularies(data_dir=None):
    """Returns the encoder of the training words, the domains, the intents and the tags.

    The tags are those of all splits: two of them are in the other splits alone, and count as errors.
    """
    load = functools.partial(
        mtlkeras.data.load,
        tasks={"domain": "domain", "intent": "intent", "slots": Label("slots", kind="tags")},
        inputs="tokens",
        split=None,
        data_dir=data_dir,
    )
    parts = [load(f"fb-multilingual/{LANGUAGE}/{split}.jsonl.gz") for split in ("train", "valid", "test")]
    found = [mtlkeras.data.describe(part).tasks for part in parts]
    encoder = TextEncoder.from_dataset(parts[0], characters=True, oov_dropout=0.25)
    tags = TagEncoder.from_types(tag for part in found for tag in part["slots"].classes).tags
    return encoder, found[0]["domain"].classes, found[0]["intent"].classes, tags


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 477)
    encoder, domains, intents, tags = vocabularies(hp.Fixed("data_dir", "") or None)
    tagging = {"crf": CRFTagging(tags, scheme="BIO"), "softmax": Tagging(tags, scheme="BIO")}
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="tokens"),
        trunk=BiLSTM(
            units=hp.Choice("units", [200, 100, 300]),
            depth=hp.Choice("depth", [1, 2]),
            dropout=hp.Choice("dropout", [0.4, 0.2, 0.3, 0.5]),
            l2=hp.Choice("l2", [0.0, 1e-6, 1e-5]),
            pooling=hp.Choice("pooling", ["attention", "max", "mean", "last"]),
            encoder=encoder,
        ),
        heads={
            "domain": Classification(len(domains), class_names=domains),
            "intent": Classification(len(intents), class_names=intents),
            "slots": tagging[hp.Choice("tagging", list(tagging))],
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=4e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0),
        joint_metrics=[mtlkeras.metrics.ExactMatch(("intent", "slots"))],
    )
    return model
