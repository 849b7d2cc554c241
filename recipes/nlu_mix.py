"""Three data sets of requests on one trunk: intents and slots of Snips, of alarms and weather, of a home.

They share words and neither sentences nor labels: a sentence is labelled for the two tasks of its own set,
and a batch is of one set (`mtlkeras.data.mix`). `sources` trains one of them alone; `share` and `home_folds`
take a part of what there is to train on.
"""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Alternating, Label, Proportional, TagEncoder, Temperature, TextEncoder
from mtlkeras.heads import Classification, CRFTagging
from mtlkeras.trunks import BiLSTM

EPOCHS = 12
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_exact_match"
RESULT = (
    "with share=0.25, test: intents 0.981, 0.990, 0.862, slots F1 0.927, 0.950, 0.778 of snips, alarms, home"
)
DATA = (
    "The folders snips, fb-multilingual and hwu64 of the recipes snips, fb_multilingual and hwu64 (1.4 MB)."
)

FILES = {
    "snips": "snips/{}.jsonl.gz",
    "alarms": "fb-multilingual/en/{}.jsonl.gz",
    "home": "hwu64/all.jsonl.gz",
}
HOME_FOLDS = {"valid": "9", "test": "10"}  # Of the authors' ten; the others are for training.
SCHEDULES = {"proportional": Proportional(), "temperature": Temperature(2.0), "alternating": Alternating()}


def data(split, batch_size, data_dir, hp):
    sources, part = settings(hp)
    chosen = SCHEDULES[hp.Choice("schedule", list(SCHEDULES))]
    found = {}
    for name in sources:
        intents, tags = labels(name, data_dir)
        tasks = {
            f"{name}_intent": Label("intent", classes=intents),
            f"{name}_slots": Label("slots", kind="tags", classes=tags),
        }
        train = split == "train"
        found[name] = load(
            name, split, tasks, part, data_dir, batch_size=batch_size, shuffle=train, group_by_length=train
        )
    if len(found) == 1:
        return found[sources[0]]
    # To evaluate, every sentence is read once.
    schedule = chosen if split == "train" else Proportional()
    return mtlkeras.data.mix(found, schedule, shuffle=split == "train", seed=SEED)


def settings(hp):
    """Returns the names of the sources, and how much of their training splits is used."""
    chosen = hp.Choice("sources", ["all", *FILES])
    return (
        tuple(FILES) if chosen == "all" else (chosen,),
        (hp.Choice("share", [1.0, 0.5, 0.25]), hp.Choice("home_folds", ["1+2+3+4+5+6+7+8", "1", "2", "3"])),
    )


def load(name, split, tasks, part=(1.0, "1+2+3+4+5+6+7+8"), data_dir=None, **options):
    """Returns a split of one source; of a training split a part."""
    share, folds = part
    if name == "home":
        rows = {"split": HOME_FOLDS.get(split, folds), "split_column": "fold"}
    elif split == "train" and share < 1:
        rows = {"split": "train", "fractions": {"train": share, "rest": 1 - share}}
    else:
        rows = {"split": None}
    return mtlkeras.data.load(
        FILES[name].format(split),
        tasks=tasks,
        inputs="tokens",
        data_dir=data_dir,
        **rows,
        **options,
        seed=SEED,
    )


@functools.cache
def labels(name, data_dir=None):
    """Returns the intents and the tags of a source: rare ones may be in one split alone."""
    tasks = {"intent": "intent", "slots": Label("slots", kind="tags")}
    splits = [load(name, split, tasks, data_dir=data_dir) for split in ("train", "valid", "test")]
    found = [mtlkeras.data.describe(split).tasks for split in splits]
    intents = dict.fromkeys(intent for tasks in found for intent in tasks["intent"].classes)
    return tuple(intents), TagEncoder.from_types(
        tag for tasks in found for tag in tasks["slots"].classes
    ).tags


@functools.cache
def encoder(sources, part, data_dir=None):
    """Returns the encoder of the words to train on."""
    splits = [load(name, "train", {"intent": "intent"}, part, data_dir) for name in sources]
    words = (sentence for split in splits for batch, _ in split for sentence in batch.numpy())
    return TextEncoder.from_tokens(words, lowercase=True, casing=True, characters=True, oov_dropout=0.25)


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 1631)
    data_dir = hp.Fixed("data_dir", "") or None
    sources, part = settings(hp)
    hp.Choice("schedule", list(SCHEDULES))
    heads = {}
    for name in sources:
        intents, tags = labels(name, data_dir)
        heads[f"{name}_intent"] = Classification(len(intents), class_names=intents)
        heads[f"{name}_slots"] = CRFTagging(tags, scheme="BIO")
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="tokens"),
        trunk=BiLSTM(
            units=hp.Choice("units", [200, 100, 300]),
            dropout=hp.Choice("dropout", [0.5, 0.3, 0.4]),
            encoder=encoder(sources, part, data_dir),
        ),
        heads=heads,
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=4e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0),
        joint_metrics=[mtlkeras.metrics.ExactMatch(tuple(heads), known_only=True)],
    )
    return model
