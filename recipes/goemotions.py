"""GoEmotions: 28 emotions, 7 groups of them and 4 sentiments of English comments; several may hold at once.

`--set trunk=dpcnn` and `--set trunk=bilstm` take another trunk.
"""

from __future__ import annotations

import functools

import keras

import mtlkeras
from mtlkeras.data import Label, TextEncoder
from mtlkeras.heads import MultiLabel
from mtlkeras.trunks import DPCNN, BiLSTM, CNNAttention

EPOCHS = 5
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_emotions_f1"
RESULT = "test macro F1: emotions 0.426, groups 0.587, sentiments 0.658 (CNN with attention, seed 0)"
DATA = (
    "train.tsv.gz, dev.tsv.gz and test.tsv.gz with text, emotions, ekman and sentiment, label indices joined "
    "by commas, in a folder named goemotions (2 MB)."
)

EMOTIONS = (
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity"),
    *("desire", "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear"),
    *("gratitude", "grief", "joy", "love", "nervousness", "optimism", "pride", "realization", "relief"),
    *("remorse", "sadness", "surprise", "neutral"),
)
EKMAN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("positive", "negative", "ambiguous", "neutral")
NAMES = {"emotions": EMOTIONS, "ekman": EKMAN, "sentiment": SENTIMENTS}
FILES = {"train": "train", "valid": "dev", "test": "test"}


def data(split, batch_size, data_dir=None):
    return mtlkeras.data.load(
        f"goemotions/{FILES[split]}.tsv.gz",
        tasks={
            task: Label(
                task, kind="multi", separator=",", classes={name: [i] for i, name in enumerate(names)}
            )
            for task, names in NAMES.items()
        },
        inputs="text",
        tokenize={"text": "punctuation"},
        quotes=False,
        split=None,
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        data_dir=data_dir,
    )


@functools.cache
def statistics(data_dir=None):
    """Returns the encoder of the training words and by task how many comments each label holds for."""
    train = data("train", 1024, data_dir)
    encoder = TextEncoder.from_dataset(
        train, split="punctuation", lowercase=True, min_count=2, oov_dropout=0.25
    )
    found = mtlkeras.data.describe(train)
    return encoder, {task: tuple(found.tasks[task].counts.values()) for task in NAMES}, found.examples


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 679)
    encoder, counts, examples = statistics(hp.Fixed("data_dir", "") or None)
    dropout = hp.Choice("dropout", [0.3, 0.2, 0.4])
    text = {"encoder": encoder, "dropout": dropout}
    trunks = {
        "cnn_attention": CNNAttention(width=256, depth=1, **text),
        "dpcnn": DPCNN(width=250, depth=2, pooling="attention", embedding_range=0.15, **text),
        "bilstm": BiLSTM(units=150, pooling="attention", embedding_range=0.6, normalization=None, **text),
    }
    trunk = hp.Choice("trunk", list(trunks))
    attends = trunk == "cnn_attention"
    # Rare labels weigh more, or hardly any would reach the threshold; at the exponent 1 they would weigh as
    # much as the rest, and be found where they are not.
    power = hp.Choice("power", [0.3, 0.4, 0.5, 0.7], default=0.4 if attends else 0.5)
    largest = hp.Choice("largest_weight", [5.0, 10.0, 20.0], default=10.0 if attends else 20.0)
    model = mtlkeras.build_model(
        inputs=keras.Input((None,), dtype="string", name="tokens"),
        trunk=trunks[trunk],
        heads={
            task: MultiLabel(
                len(names),
                label_names=names,
                positive_weight=tuple(
                    min(max((examples - n) / n, 1.0) ** power, largest) for n in counts[task]
                ),
                metrics=("f1",),
            )
            for task, names in NAMES.items()
        },
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3 if attends else 3e-3)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=5.0)
    )
    return model
