"""Writes the saved models of this folder, with what they answer and what a further step makes of them.

    python -m tests.kept.make_models NAME...

They were written by version 0.1.0 of the library, before its modules moved, and stay as they are: what a
user saved must load. Write a file anew only for a kind of model that has none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

import mtlkeras
from mtlkeras import balancers, heads, trunks

FOLDER = Path(__file__).parent


def image() -> tuple:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 12, 12, 1)).astype("float32")
    model = mtlkeras.build_model(
        (12, 12, 1),
        trunks.ResNet(depth=8, width=4, l2=1e-4),
        {
            "digit": heads.Classification(3, class_names=("one", "two", "three")),
            "size": heads.Regression(2),
            "grade": heads.Ordinal(4, at="stage_2"),
        },
    )
    y = {
        "digit": np.arange(12) % 4 - 1,
        "size": rng.normal(3.0, 2.0, (12, 2)).astype("float32"),
        "grade": np.arange(12) % 4,
    }
    model.adapt(y)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, balancer=balancers.CAGrad(every=2))
    return model, x, y


def table() -> tuple:
    rng = np.random.default_rng(1)
    x = {
        "age": rng.normal(40.0, 10.0, 16).astype("float32"),
        "colour": rng.integers(0, 2, 16).astype("int32"),
    }
    inputs = {"age": keras.Input((), name="age"), "colour": keras.Input((), dtype="int32", name="colour")}
    trunk = trunks.MLP(
        depth=2, width=16, categories={"colour": ("red", "green")}, mean={"age": 40.0}, scale={"age": 10.0},
        normalization="batch",
    )  # fmt: skip
    model = mtlkeras.build_model(
        inputs, trunk, {"marks": heads.MultiLabel(3, at="hidden_1"), "pay": heads.Regression(hidden=(8,))}
    )
    y = {"marks": rng.integers(0, 2, (16, 3)), "pay": rng.normal(size=16).astype("float32")}
    y["pay"][::5] = np.nan
    model.compile(keras.optimizers.Adam(0.01), balancer=balancers.GradNorm(at="parameters"))
    return model, x, y


def ids() -> tuple:
    rng = np.random.default_rng(2)
    x = np.where(np.arange(6) < rng.integers(1, 7, 12)[:, None], rng.integers(1, 20, (12, 6)), 0)
    tags = ("O", "B-animal", "I-animal")
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32", name="ids"),
        trunks.BiLSTM(units=8, depth=2, vocabulary_size=20, embedding_units=8),
        {
            "topic": heads.Classification(3),
            "slot": heads.CRFTagging(tags, scheme="BIO"),
            "word": heads.HMMTagging(tags, at="lstm_1"),
            "part": heads.Tagging(tags),
        },
    )
    labels = np.where(x > 0, x % 3, mtlkeras.MISSING).astype("int32")
    y = {"topic": np.arange(12) % 3, **dict.fromkeys(("slot", "word", "part"), labels)}
    model.compile(keras.optimizers.Adam(0.01), balancer=balancers.FAMO())
    return model, x.astype("int32"), y


def sentences() -> tuple:
    texts = ["set an alarm for six", "play some jazz", "what is the time", "play it again"] * 2
    model = mtlkeras.build_model(
        keras.Input((), dtype="string", name="text"),
        trunks.BERT(
            encoder=mtlkeras.data.TextEncoder.from_texts(texts), depth=2, width=16, heads=2, max_length=12
        ),
        {"intent": heads.Classification(3), "tag": heads.Tagging(("O", "B-x", "I-x"))},
    )
    y = {"intent": np.array([0, 1, 2, 1] * 2), "tag": np.full((8, 5), mtlkeras.MISSING, "int32")}
    y["tag"][:, :3] = 1
    model.compile(keras.optimizers.SGD(0.1), balancer=balancers.DWA())
    return model, np.array(texts, dtype=object), y


MODELS = {"image": image, "table": table, "ids": ids, "sentences": sentences}


def numbers(model: keras.Model) -> list[np.ndarray]:
    """Returns the values of the weights that training changes."""
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_weights]


def step(model: keras.Model, x, y) -> list[np.ndarray]:
    """Trains a step with dropout left out, and returns the weights."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.fit(x, y, batch_size=len(y[next(iter(y))]), epochs=1, shuffle=False, verbose=0)
    return numbers(model)


def write(name: str) -> None:
    keras.utils.set_random_seed(0)
    model, x, y = MODELS[name]()
    model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    model.save(FOLDER / f"{name}.keras")
    answers = {f"answer_{task}": value for task, value in model.predict(x, verbose=0).items()}
    again = keras.saving.load_model(FOLDER / f"{name}.keras")
    weights = {f"weight_{i}": value for i, value in enumerate(step(again, x, y))}
    np.savez_compressed(FOLDER / f"{name}.npz", **answers, **weights)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        write(wanted)
