"""What mtlkeras costs over plain Keras: time of a training step, and of the import.

    python benchmarks/overhead.py [--heads 2 4 8] [--repeats 15] [--steps 40] [--imports 9] [--cpu]

A step: `MultiTaskModel.fit` against `fit` of a functional Keras model written by hand with the
same layers, losses and metrics (a ResNet of depth 8 on 28x28x1, batch 64, one class head of ten
per task). The two take turns, each repeat in the other order, so that what else the machine
does hits both; the ratio is the median over the pairs. The import is timed in fresh processes,
taking turns in the same way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHAPE, CLASSES, BATCH = (28, 28, 1), 10, 64
TIMED_IMPORT = "from time import {0} as now; start = now(); import {1}; print(now() - start)"


def task_names(count: int) -> list[str]:
    return [f"task_{i}" for i in range(count)]


def ours(tasks: list[str]):
    import mtlkeras

    model = mtlkeras.build_model(
        inputs=SHAPE,
        trunk=mtlkeras.trunks.ResNet(depth=8),
        heads={task: mtlkeras.heads.Classification(CLASSES) for task in tasks},
    )
    model.compile("adam")
    return model


def by_hand(tasks: list[str]):
    import keras

    import mtlkeras

    inputs = keras.Input(SHAPE)
    features = mtlkeras.trunks.ResNet(depth=8)(inputs).vector  # Plain Keras layers on the input.
    outputs = {
        task: keras.layers.Dense(CLASSES, activation="softmax", dtype="float32", name=task)(features)
        for task in tasks
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        loss=dict.fromkeys(tasks, "sparse_categorical_crossentropy"),
        metrics={task: ["accuracy"] for task in tasks},
    )
    return model


def batches(tasks: list[str], steps: int):
    """Random images and labels, cached, so that reading them costs next to nothing."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH * steps, *SHAPE)).astype("float32")
    labels = {task: rng.integers(0, CLASSES, BATCH * steps) for task in tasks}
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH, True).cache().prefetch(2)


def step_pairs(count: int, repeats: int, steps: int, clock: str) -> list[tuple[float, float]]:
    """Returns pairs (ours, by hand) of milliseconds per step."""
    import keras

    now = getattr(time, clock)
    tasks = task_names(count)
    data = batches(tasks, steps)
    models = ours(tasks), by_hand(tasks)
    if models[0].count_params() != models[1].count_params():
        raise RuntimeError(
            f"The models differ: {models[0].count_params()} and {models[1].count_params()} parameters."
        )

    def timed(model) -> float:
        times: list[float] = []
        marks = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: times.append(now()), on_epoch_end=lambda *_: times.append(now())
        )
        model.fit(data, epochs=2, verbose=0, callbacks=[marks], shuffle=False)
        return (times[3] - times[2]) / steps * 1e3  # The first epoch holds what a call of fit sets up.

    for model in models:
        timed(model)  # Traces the step and fills the cache.
    return take_turns([lambda: timed(models[0]), lambda: timed(models[1])], repeats)


def import_pairs(repeats: int, clock: str) -> list[tuple[float, float]]:
    """Returns pairs (mtlkeras, keras) of milliseconds per import in a fresh process."""
    # An installed package keeps its compiled files; without them an import is mostly compiling.
    cached = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def timed(module: str) -> float:
        command = [sys.executable, "-c", TIMED_IMPORT.format(clock, module)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=cached)
        return float(done.stdout) * 1e3

    for module in ("mtlkeras", "keras"):
        timed(module)  # Reads the files from disk and compiles them.
    return take_turns([lambda: timed("mtlkeras"), lambda: timed("keras")], repeats)


def take_turns(timers: Sequence[Callable[[], float]], repeats: int) -> list[tuple[float, float]]:
    pairs = []
    for repeat in range(repeats):
        first, second = (0, 1) if repeat % 2 == 0 else (1, 0)
        times = {first: timers[first](), second: timers[second]()}
        pairs.append((times[0], times[1]))
    return pairs


def row(label: str, pairs: list[tuple[float, float]], bound: float) -> str:
    ratios = [a / b for a, b in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return (
        f"| {label:14} | {mine:9.1f} | {theirs:9.1f} | {statistics.median(ratios):6.3f} "
        f"| {low:.3f} to {high:.3f} | {bound:5.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Times mtlkeras against plain Keras.")
    parser.add_argument("--heads", type=int, nargs="*", default=[2, 4, 8], help="numbers of heads to time")
    parser.add_argument("--repeats", type=int, default=15, help="pairs of epochs per number of heads")
    parser.add_argument("--steps", type=int, default=40, help="steps per epoch")
    parser.add_argument("--imports", type=int, default=9, help="pairs of imports; 0 leaves them out")
    parser.add_argument("--cpu", action="store_true", help="count processor time in place of wall time")
    args = parser.parse_args()
    clock = "process_time" if args.cpu else "perf_counter"
    print(f"$ python {' '.join(sys.argv)}")
    print("| what           | mtlkeras  | Keras     | ratio  | middle half    | bound |")
    print("| -------------- | --------- | --------- | ------ | -------------- | ----- |")
    if args.imports:
        print(row("import, ms", import_pairs(args.imports, clock), 1.10), flush=True)
    for count in args.heads:
        pairs = step_pairs(count, args.repeats, args.steps, clock)
        print(row(f"{count} heads, ms/step", pairs, 1.03), flush=True)


if __name__ == "__main__":
    main()
