"""What a CRF costs: loss with its gradient, and decoding, beside pytorch-crf where it is installed.

    python benchmarks/crf.py [--lengths 32 128 512] [--tags 10 50] [--repeats 7] [--cpu] [--no-memory]

One batch of 64 sequences, half to full length, on one thread; medians of repeats, in which all
take turns so that what else the machine does hits them all. The layer runs in a `tf.function`, once
as it is and once with `jit_compile`, as Keras compiles models that allow it. `loss` is the negative
log-likelihood and its gradient with regard to the logits and all scores. The memory is what a
fresh process holds at its peak for 5 losses above what it held before them.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["OMP_NUM_THREADS"] = "1"

BATCH = 64
HAS_TORCH_CRF = all(importlib.util.find_spec(name) for name in ("torch", "torchcrf"))
Runners = dict[str, Callable[[], None]]


def problem(length: int, tags: int):
    """Returns logits, tags and mask."""
    import numpy as np

    rng = np.random.default_rng(0)
    lengths = rng.integers(length // 2, length + 1, BATCH)
    lengths[0] = length
    mask = np.arange(length)[None, :] < lengths[:, None]
    return rng.normal(size=(BATCH, length, tags)).astype("float32"), rng.integers(0, tags, mask.shape), mask


def ours(length: int, tags: int, jit: bool) -> Runners:
    import tensorflow as tf

    from mtlkeras.layers import CRF

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    crf = CRF(tags, initializer="random_normal")
    logits, gold, mask = [tf.constant(x) for x in problem(length, tags)]

    @tf.function(autograph=False, jit_compile=jit)
    def loss(logits, gold, mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = -tf.reduce_sum(crf.log_likelihood(logits, gold, mask))
        return value, tape.gradient(value, [logits, *[w.value for w in crf.weights]])

    @tf.function(autograph=False, jit_compile=jit)
    def decode(logits, mask):
        return crf.decode(logits, mask)

    return {
        "loss": lambda: loss(logits, gold, mask)[0].numpy(),
        "decode": lambda: decode(logits, mask)[1].numpy(),
    }


def pytorch_crf(length: int, tags: int) -> Runners:
    import torch
    from torchcrf import CRF

    torch.set_num_threads(1)
    crf = CRF(tags, batch_first=True)
    logits, gold, mask = [torch.tensor(x) for x in problem(length, tags)]
    logits.requires_grad_()

    def loss() -> None:
        crf.zero_grad()
        logits.grad = None
        (-crf(logits, gold, mask)).backward()

    def decode() -> None:
        with torch.no_grad():
            crf.decode(logits, mask)

    return {"loss": loss, "decode": decode}


RUNNERS: dict[str, Callable[[int, int], Runners]] = {
    "mtlkeras": functools.partial(ours, jit=False),
    "mtlkeras, XLA": functools.partial(ours, jit=True),
}
if HAS_TORCH_CRF:
    RUNNERS["pytorch-crf"] = pytorch_crf


def take_turns(runners: list[Callable[[], None]], repeats: int, clock: str) -> list[float]:
    """Returns the median milliseconds of each."""
    now = getattr(time, clock)
    for run in runners:
        run()  # Traces and warms up.
    times: list[list[float]] = [[] for _ in runners]
    for _ in range(repeats):
        for run, found in zip(runners, times, strict=True):
            start = now()
            run()
            found.append((now() - start) * 1e3)
    return [statistics.median(found) for found in times]


def peak_memory(library: str, length: int, tags: int) -> float:
    """Returns MiB that a process of its own adds at its peak."""
    command = [sys.executable, __file__, "--measure-memory", library]
    command += ["--lengths", str(length), "--tags", str(tags)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(library: str, length: int, tags: int) -> None:
    """Prints the MiB of a loss, seen from a thread that looks every half millisecond."""
    # A small problem first: what the library itself and its first call take is not counted.
    RUNNERS[library](2, tags)["loss"]()
    run = RUNNERS[library](length, tags)["loss"]
    before, seen, is_done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.0005):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        run()
    is_done.set()
    watcher.join()
    print(max(seen) - before)


def resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(args: argparse.Namespace) -> None:
    clock = "process_time" if args.cpu else "perf_counter"
    print(f"$ python {' '.join(sys.argv)}")
    print(f"| tags | length | what   | {' | '.join(f'{name:>14}' for name in RUNNERS)} | times as fast |")
    print(f"| ---- | ------ | ------ | {' | '.join('-' * 14 for _ in RUNNERS)} | ------------- |")
    for tags in args.tags:
        for length in args.lengths:
            sides = [make(length, tags) for make in RUNNERS.values()]
            for what in ("loss", "decode"):
                times = take_turns([side[what] for side in sides], args.repeats, clock)
                faster = " / ".join(f"{times[2] / mine:.1f}" for mine in times[:2]) if HAS_TORCH_CRF else "-"
                cells = " | ".join(f"{time:11.2f} ms" for time in times)
                print(f"| {tags:4} | {length:6} | {what:6} | {cells} | {faster:>13} |", flush=True)
    if not args.no_memory:
        length, tags = max(args.lengths), max(args.tags)
        found = ", ".join(f"{name} {peak_memory(name, length, tags):.0f} MiB" for name in RUNNERS)
        print(f"Peak memory of the loss at length {length} with {tags} tags: {found}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the CRF layer.")
    parser.add_argument("--lengths", type=int, nargs="*", default=[32, 128, 512])
    parser.add_argument("--tags", type=int, nargs="*", default=[10, 50])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cpu", action="store_true", help="count processor time in place of wall time")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory")
    parser.add_argument("--measure-memory", choices=list(RUNNERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure_memory:
        measure_memory(args.measure_memory, args.lengths[0], args.tags[0])
    else:
        report(args)


if __name__ == "__main__":
    main()
