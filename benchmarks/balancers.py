"""What balancers cost over equal weighting: time of a training step, of the weights alone, memory.

    python benchmarks/balancers.py [--methods MGDA PCGrad ...] [--tasks 2 4 8] [--repeats 9] [--steps 8]
                                   [--levels representation parameters] [--every 1] [--gram-fraction 1]
                                   [--cpu] [--memory] [--one-task-each]

A step: `fit` of a residual trunk of about a million parameters (ResNet of depth 8 and width 56 on
16x16x1, batch 32) with one class head of ten a task, against the same without a balancer. The two
take turns, each repeat in the other order; the ratio is the median over the pairs. For the
parameters the bound is 1.05 times (forward + K backward) / (forward + backward), which is measured
on the plain model. The weights alone are timed inside a graph on Gram matrices of 8 tasks.
With --one-task-each every example has labels of one task alone, the trunk has no normalisation, and
the balancers at the parameters take the batches apart by task. With --memory each model trains in a
process of its own, whose peak over what it held before the first step is compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from overhead import take_turns, task_names

SHAPE, CLASSES, BATCH = (16, 16, 1), 10, 32
GRAM = (
    *("PCGrad", "GradVac", "MGDA", "CAGrad", "IMTLG", "NashMTL"),
    *("AlignedMTL", "UPGrad", "DualProj", "FairGrad", "ConFIG", "GradNorm"),
)
LOSSES = (
    "Uncertainty",
    "DWA",
    "RLW",
    "GLS",
    "FAMO",
    "STCH",
    "IMTLL",
    "COSMOS",
    "GO4Align",
    "IGB",
    "LDCMTL",
    "UWSO",
)


def make_model(tasks: list[str], balancer=None, normalization: str | None = "batch"):
    import mtlkeras

    model = mtlkeras.build_model(
        inputs=SHAPE,
        trunk=mtlkeras.trunks.ResNet(depth=8, width=56, normalization=normalization),
        heads={task: mtlkeras.heads.Classification(CLASSES) for task in tasks},
    )
    model.compile("adam", balancer=balancer)
    return model


def make_balancer(name: str, level: str = "", **how):
    from mtlkeras import balancers

    cls = getattr(balancers, name)
    return cls(at=level, **how) if level else cls()


def make_batches(tasks: list[str], steps: int, one_task_each: bool = False):
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH * steps, *SHAPE)).astype("float32")
    labels = {task: rng.integers(0, CLASSES, BATCH * steps) for task in tasks}
    if one_task_each:
        owners = rng.integers(0, len(tasks), BATCH * steps)
        labels = {task: np.where(owners == i, y, -1) for i, (task, y) in enumerate(labels.items())}
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH, True).cache().prefetch(2)


def epoch_timer(model, data, steps: int, clock):
    """Returns a function that gives the milliseconds of a step."""
    import keras

    def timed() -> float:
        times: list[float] = []
        marks = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: times.append(clock()), on_epoch_end=lambda *_: times.append(clock())
        )
        model.fit(data, epochs=1, verbose=0, callbacks=[marks], shuffle=False)
        return (times[1] - times[0]) / steps * 1e3

    timed()  # Traces the step.
    return timed


def floor(model, data, count: int, repeats: int, clock) -> float:
    """Returns (forward + K backward) / (forward + backward) of the plain model."""
    import tensorflow as tf

    x, y = next(iter(data))

    @tf.function(autograph=False)
    def forward():
        return model.compute_loss(x, y, model(x, training=True), training=True)

    @tf.function(autograph=False)
    def both():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True), training=True)
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    def timed(run):
        start = clock()
        for _ in range(4):
            run()
        return (clock() - start) / 4

    timed(forward), timed(both)
    pairs = take_turns([lambda: timed(forward), lambda: timed(both)], repeats)
    share = statistics.median(a / b for a, b in pairs)
    return share + count * (1 - share)


def weights_alone(name: str, count: int = 8, calls: int = 60, in_a_row: int = 10) -> float:
    """Returns the milliseconds that the weights of a Gram matrix take within a graph.

    Several follow each other, so that calling the graph from Python, which a training step does in
    any case, does not count.
    """
    import numpy as np
    import tensorflow as tf

    rows = np.random.default_rng(0).normal(size=(in_a_row, count, 50)).astype("float32")
    grams, balancer = tf.constant(rows @ rows.transpose(0, 2, 1)), make_balancer(name)

    @tf.function(autograph=False)
    def solve(grams):
        def following(i, last):
            # The next one waits for the last; a factor of zero would be simplified away.
            return i + 1, balancer.weights(grams[i] + 1e-30 * last[0])

        start = 0, tf.ones((count,))
        return tf.while_loop(lambda i, _: i < in_a_row, following, start, parallel_iterations=1)[1]

    times = []
    for _ in range(calls):
        start = time.perf_counter()
        solve(grams).numpy()
        times.append((time.perf_counter() - start) / in_a_row)
    return statistics.median(times) * 1e3


def peak_growth(name: str, level: str, count: int) -> float:
    """Returns the MiB that a training in a process of its own takes at most beyond its start."""
    command = [sys.executable, __file__, "--child", name, level, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def child(name: str, level: str, count: int) -> None:
    tasks = task_names(count)
    model = make_model(tasks, None if name == "none" else make_balancer(name, level))
    data = make_batches(tasks, 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit(data, epochs=2, verbose=0)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def step_times(args: argparse.Namespace, clock) -> None:
    print("| tasks | level | method | plain, ms | ratio | middle half | bound |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    how, normalization = {"every": args.every, "gram_fraction": args.gram_fraction}, "batch"
    if args.one_task_each:
        how, normalization = {"one_task_each": True}, None
    for count in args.tasks:
        tasks = task_names(count)
        data = make_batches(tasks, args.steps, args.one_task_each)
        plain = make_model(tasks, normalization=normalization)
        least = floor(plain, data, count, args.repeats, clock)
        alone = epoch_timer(plain, data, args.steps, clock)
        for level in args.levels:
            bound = 1.08 if level == "representation" else 1.05 * least
            for name in args.methods:
                balancer = make_balancer(name, level if name in GRAM else "", **how)
                model = make_model(tasks, balancer, normalization)
                timed = epoch_timer(model, data, args.steps, clock)
                pairs = take_turns([timed, alone], args.repeats)
                ratios = [a / b for a, b in pairs]
                low, _, high = statistics.quantiles(ratios, n=4)
                plain_ms = statistics.median(b for _, b in pairs)
                cells = f"{count} | {level} | {name} | {plain_ms:.1f} | {statistics.median(ratios):.3f}"
                print(f"| {cells} | {low:.3f} to {high:.3f} | {bound:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times balancers against equal weighting.")
    parser.add_argument("--methods", nargs="*", default=list(GRAM))
    parser.add_argument("--tasks", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--levels", nargs="*", default=["representation", "parameters"])
    parser.add_argument("--every", type=int, default=1, help="steps for which weights are kept")
    parser.add_argument("--gram-fraction", type=float, default=1.0, help="part of a batch that is looked at")
    parser.add_argument("--one-task-each", action="store_true", help="labels of one task in each example")
    parser.add_argument("--repeats", type=int, default=9, help="pairs of epochs per model")
    parser.add_argument("--steps", type=int, default=8, help="steps per epoch")
    parser.add_argument("--cpu", action="store_true", help="count processor time in place of wall time")
    parser.add_argument("--memory", action="store_true", help="compare peak memory and time nothing")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], args.child[1], int(args.child[2]))
        return
    if args.one_task_each:
        args.levels = ["parameters"]
    print(f"$ python {' '.join(sys.argv)}")
    if args.memory:
        print("| tasks | level | method | MiB | over plain |\n| --- | --- | --- | --- | --- |")
        for count in args.tasks:
            plain = peak_growth("none", "", count)
            for level in args.levels:
                for name in args.methods:
                    found = peak_growth(name, level if name in GRAM else "", count)
                    print(f"| {count} | {level} | {name} | {found:.0f} | {found / plain:.2f} |", flush=True)
        return
    print("| method | weights of 8 tasks, ms |\n| --- | --- |")
    for name in args.methods:
        if name in GRAM:
            print(f"| {name} | {weights_alone(name):.2f} |", flush=True)
    step_times(args, time.process_time if args.cpu else time.perf_counter)


if __name__ == "__main__":
    main()
