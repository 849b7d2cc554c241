"""What `remat=True` saves in memory and costs in time: python benchmarks/remat.py

Trains each trunk with and without it, each in a process of its own, in turns, and prints medians: by how much
the resident memory peaked above what it was after steps with a batch of two, and the time of a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
import psutil

import mtlkeras
from mtlkeras.heads import Classification
from mtlkeras.trunks import BERT, ResNet

TRUNKS = {
    "ResNet(depth=56)": (ResNet(depth=56), (32, 32, 3), 64),
    "BERT(depth=12)": (BERT(depth=12, width=128, heads=2, vocabulary_size=1000), (128,), 16),
}


def measured(name: str, remat: bool, steps: int) -> dict[str, float]:
    """Returns megabytes and milliseconds of a training step."""
    trunk, shape, batch = TRUNKS[name]
    words = len(shape) == 1
    inputs = keras.Input(shape, dtype="int32" if words else "float32")
    heads = {"a": Classification(10), "b": Classification(3)}
    model = mtlkeras.build_model(inputs, trunk.replace(remat=remat), heads)
    model.compile("sgd", jit_compile=False)
    rng = np.random.default_rng(0)
    x = rng.integers(1, 1000, (batch, *shape)) if words else rng.random((batch, *shape), "float32")
    y = {"a": rng.integers(0, 10, batch), "b": rng.integers(0, 3, batch)}
    # A small batch first: what a graph and its first call take is not counted.
    for count in (2, 2, batch):
        before = psutil.Process().memory_info().rss
        model.train_on_batch(x[:count], {task: labels[:count] for task, labels in y.items()})
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        model.train_on_batch(x, y)
        times.append(1e3 * (time.perf_counter() - start))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"memory": (peak - before) / 2**20, "step": statistics.median(times)}


def in_a_process(name: str, remat: bool, steps: int) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--steps",
        str(steps),
        "--only",
        name,
        *(["--remat"] if remat else []),
    ]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", choices=TRUNKS, help="measure one trunk in this process")
    parser.add_argument("--remat", action="store_true", help="with --only: with remat=True")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.remat, options.steps)))
        return
    backend = keras.backend.backend()
    print(f"python benchmarks/remat.py --pairs {options.pairs} --steps {options.steps}  ({backend})")
    print(f"{'trunk':18}{'memory, MB':>12}{'remat':>8}{'ratio':>8}{'step, ms':>12}{'remat':>8}{'ratio':>8}")
    for name in TRUNKS:
        pairs = [
            [in_a_process(name, remat, options.steps) for remat in (False, True)]
            for _ in range(options.pairs)
        ]
        line = f"{name:18}"
        for key, width in (("memory", 12), ("step", 12)):
            plain, again = (statistics.median(pair[i][key] for pair in pairs) for i in (0, 1))
            ratio = statistics.median(pair[1][key] / pair[0][key] for pair in pairs)
            line += f"{plain:{width}.0f}{again:8.0f}{ratio:8.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
