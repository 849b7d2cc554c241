"""What a step of `Segmentation` costs over plain Keras: python benchmarks/segmentation.py

    python benchmarks/segmentation.py [--pairs 15] [--steps 8] [--size 64] [--batch 8]

`MultiTaskModel.fit` against `fit` of a functional Keras model written by hand with the same layers, loss and
metrics (a ResNet of depth 8 and the decoder "fpn", three classes; pixel accuracy and mean IoU). The two take
turns, each pair in the other order, so that what else the machine does hits both. Prints the medians and the
ratio of the medians, for cross-entropy with all pixels labelled.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import mtlkeras
from mtlkeras.heads import Segmentation
from mtlkeras.trunks import ResNet

CLASSES, WIDTH = 3, 64


def ours(size: int):
    heads = {"mask": Segmentation(CLASSES, width=WIDTH)}
    model = mtlkeras.build_model((size, size, 3), ResNet(depth=8), heads)
    model.compile("adam", jit_compile=False)
    return model


def by_hand(size: int):
    """The same network, with Keras' own layers, loss and metrics."""
    layers = keras.layers
    image = keras.Input((size, size, 3))
    taps = ResNet(depth=8)(image).taps
    x = None
    for name in ("stage_3", "stage_2", "stage_1"):
        lateral = layers.Conv2D(WIDTH, 1, padding="same")(taps[name])
        if x is None:
            x = lateral
            continue
        x = layers.Add()([layers.Resizing(*taps[name].shape[1:3])(x), lateral])
    x = layers.Conv2D(WIDTH, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, layers.Softmax()(layers.Dense(CLASSES)(x)))
    model.compile(
        "adam",
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy", keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False)],
        jit_compile=False,
    )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    count, size = options.steps * options.batch, options.size
    x = rng.random((count, size, size, 3), "float32")
    y = rng.integers(0, CLASSES, (count, size, size))
    models = {"mtlkeras": (ours(size), {"mask": y}), "by hand": (by_hand(size), y)}
    assert len({model.count_params() for model, _ in models.values()}) == 1
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(-2, options.pairs):
        names = list(models) if turn % 2 else list(models)[::-1]
        for name in names:
            model, labels = models[name]
            start = time.perf_counter()
            model.fit(x, labels, batch_size=options.batch, verbose=0)
            if turn >= 0:  # Two turns before trace and warm up.
                times[name].append(1e3 * (time.perf_counter() - start) / options.steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    pairs = [a / b for a, b in zip(*times.values(), strict=True)]
    print(f"{keras.backend.backend()}, {size} x {size}, batch {options.batch}, {options.pairs} pairs")
    print("| model | ms a step |\n| --- | ---: |")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} |")
    ratio = medians["mtlkeras"] / medians["by hand"]
    print(f"ratio of medians {ratio:.3f}, median of the pairs' ratios {statistics.median(pairs):.3f}")


if __name__ == "__main__":
    main()
