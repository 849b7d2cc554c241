"""BERT from scratch: words that were hidden, and which sentence comes next, on the text at hand.

The sentences of UD English EWT stand in documents, and so give pairs; those of Snips stand alone, and
have no label for the second task. `mtlkeras train snips_bert --set pretrained=RUN/model.keras` then trains
the trunk on requests.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
import pandas as pd

import mtlkeras
from mtlkeras.data import Label, MaskTokens, TextEncoder
from mtlkeras.heads import MaskedToken, NextSentence
from mtlkeras.trunks import BERT

EPOCHS = 6
BATCH_SIZE = 32
SEED = 0
MONITOR = "val_loss"
RESULT = "test accuracy: hidden word 0.192, next sentence 0.610 (seed 0)"
DATA = "The files of the recipes ud_ewt and snips."

COLUMNS = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel")
EWT = {"train": "train", "valid": "dev", "test": "test"}
LONGEST = 30  # Tokens of a sentence.


def data(split, batch_size, data_dir=None):
    coder = encoder(data_dir)
    first, second, is_next = mtlkeras.data.next_sentence_pairs(documents(split, data_dir), SEED)
    alone = requests(split, data_dir)
    rows = pd.DataFrame(
        {
            "first": [*first, *alone],
            "second": [*second, *([] for _ in alone)],
            "is_next": np.concatenate([is_next, np.full(len(alone), mtlkeras.MISSING)]),
        }
    )
    pairs = mtlkeras.data.load(
        rows,
        tasks={"next_sentence": Label("is_next", kind="class")},
        inputs=["first", "second"],
        vocabularies={"first": coder, "second": coder},
        max_length=LONGEST,
        truncate=True,
        shuffle=split == "train",
        group_by_length=split == "train",
        batch_size=batch_size,
        seed=SEED,
        verbose=False,
    )
    # The other splits hide the same words in each epoch.
    hide = MaskTokens(trunk(coder).mask_id, coder.size)
    pairs = mtlkeras.data.augment(pairs, hide, SEED)
    return pairs if split == "train" else pairs.cache()


@functools.cache
def documents(split, data_dir):
    """Returns the sentences of each document, as lists of tokens."""
    sentences = mtlkeras.data.load(
        f"ud-english-ewt/{EWT[split]}.tsv.gz",
        columns=COLUMNS,
        tasks={"document": Label("sent_id", pattern=r"^(.*)-\d+$")},
        inputs="form",
        split=None,
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
        verbose=False,
    )
    tokens, labels = mtlkeras.data.to_arrays(sentences)
    found = {}
    for row, document in zip(tokens, labels["document"], strict=True):
        found.setdefault(int(document), []).append(words(row))
    return list(found.values())


@functools.cache
def requests(split, data_dir):
    """Returns the sentences of Snips, as lists of tokens."""
    sentences = mtlkeras.data.load(
        f"snips/{split}.jsonl.gz",
        tasks={"intent": "intent"},
        inputs="tokens",
        split=None,
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
        verbose=False,
    )
    return [words(row) for row in mtlkeras.data.to_arrays(sentences)[0]]


def words(row):
    return [token.decode() for token in row if token]


@functools.cache
def encoder(data_dir=None):
    """Returns the encoder of the words that both data sets train on."""
    texts = [sentence for document in documents("train", data_dir) for sentence in document]
    return TextEncoder.from_tokens([*texts, *requests("train", data_dir)], lowercase=True, min_count=3)


def trunk(coder, **fields):
    sizes = {"depth": 4, "width": 128, "heads": 4, **fields}
    return BERT(**sizes, max_length=2 * LONGEST + 3, encoder=coder)


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 783)
    coder = encoder(hp.Fixed("data_dir", "") or None)
    names = ("first", "second")
    model = mtlkeras.build_model(
        inputs={name: keras.Input((None,), dtype="int32", name=name) for name in names},
        trunk=trunk(
            coder,
            depth=hp.Choice("depth", [4, 2, 6]),
            width=hp.Choice("width", [128, 256]),
            dropout=hp.Choice("dropout", [0.1, 0.0, 0.2]),
        ),
        heads={"masked_token": MaskedToken(coder.size), "next_sentence": NextSentence()},
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        warmup_target=hp.Float("learning_rate", 1e-5, 1e-2, sampling="log", default=1e-3),
        warmup_steps=steps // 10,
        decay_steps=steps - steps // 10,
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0))
    return model
