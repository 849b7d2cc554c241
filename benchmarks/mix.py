"""What mixing costs: examples a second of a mixed pipeline, against one data set of the same rows.

    python benchmarks/mix.py [--examples 8000 4000 2000] [--width 128] [--batch 64] [--fit] [--cpu]

Three data sets in memory, each with labels of one task. "Plain" is one data set of all rows, in whose arrays
the missing labels are; "mixed" is `mtlkeras.data.mix` of the three, which gives batches of the same kind.
Both are read, and with `--fit` they train a small model. They take turns, each repeat in the other order, so
that what else the machine does hits both; the ratio is that of the medians. `--cpu` takes the time of the
processor in place of that of the clock: for machines that do other things as well.

    python benchmarks/mix.py --requests [--cpu] [--data-dir DIR]

The same on real data, the recipe `nlu_mix` with three data sets of sentences. Reading is an epoch, of the mix
and of the three sources one after the other, each with its own labels; training is some batches of the mix,
against the same number of its batches kept in memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def sources(sizes: list[int], width: int, batch: int) -> dict[str, Any]:
    """Returns shuffled data sets of vectors, each with labels of a task of its own."""
    import numpy as np

    import mtlkeras

    rng = np.random.default_rng(0)
    made = {}
    for number, size in enumerate(sizes):
        x, y = rng.normal(size=(size, width)).astype("float32"), rng.integers(0, 10, size)
        task = f"task_{number}"
        made[f"source_{number}"] = mtlkeras.data.load(
            (x, {task: y}), {task: task}, batch_size=batch, shuffle=True
        )
    return made


def together(sizes: list[int], width: int, batch: int) -> Any:
    """Returns one data set of all rows, whose missing labels are in the arrays."""
    import numpy as np

    import mtlkeras

    rng = np.random.default_rng(0)
    x = rng.normal(size=(sum(sizes), width)).astype("float32")
    owner = np.repeat(np.arange(len(sizes)), sizes)
    labels = {f"task_{i}": np.where(owner == i, rng.integers(0, 10, len(x)), -1) for i in range(len(sizes))}
    tasks = {task: task for task in labels}
    return mtlkeras.data.load((x, labels), tasks, batch_size=batch, shuffle=True)


def reader(dataset: Any) -> Callable[[], None]:
    def read() -> None:
        for _ in dataset:
            pass

    return read


def fitter(dataset: Any, tasks: list[str], width: int) -> Callable[[], None]:
    import mtlkeras

    heads = {task: mtlkeras.heads.Classification(10) for task in tasks}
    model = mtlkeras.build_model((width,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")

    def fit() -> None:
        model.fit(dataset, verbose=0)

    return fit


def requests(batches: int, data_dir: str | None) -> tuple[dict[str, Callable], dict[str, Callable], int]:
    """Returns what reads, and what trains, the mix of the recipe `nlu_mix` and its sources by themselves."""
    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe

    recipe = Recipe(find_recipe("nlu_mix"))
    size, names = recipe.constant("BATCH_SIZE"), list(recipe.module.FILES)
    hp = HyperParameters({}, {"data_dir": data_dir or ""})
    mixed = recipe.data("train", size, data_dir, hp=hp)
    alone = [recipe.data("train", size, data_dir, hp=HyperParameters({"sources": n})) for n in names]
    readers = [reader(dataset) for dataset in alone]
    model = recipe.build(hp)
    some = mixed.take(batches)
    kept = some.cache()

    def read_alone() -> None:
        for read in readers:
            read()

    def fitting(dataset: Any) -> Callable[[], None]:
        return lambda: model.fit(dataset, verbose=0) and None

    return (
        {"plain": read_alone, "mixed": reader(mixed)},
        {"plain": fitting(kept), "mixed": fitting(some)},
        int(mixed.cardinality()),
    )


def rates(
    runs: Mapping[str, Callable[[], None]], examples: int, repeats: int, now: Callable[[], float]
) -> dict[str, float]:
    """Returns the median number of examples a second by name; the runs take turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # What the first reading sets up.
    for repeat in range(repeats):
        for name in list(runs)[:: 1 if repeat % 2 == 0 else -1]:
            start = now()
            runs[name]()
            times[name].append(now() - start)
    return {name: examples / statistics.median(values) for name, values in times.items()}


def show(found: Mapping[str, float], what: str) -> None:
    plain = found["plain"]
    for name, rate in found.items():
        print(f"| {what}, {name} | {rate:,.0f} | {rate / plain:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[8000, 4000, 2000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--requests", action="store_true", help="real data in place of vectors")
    parser.add_argument("--batches", type=int, default=150, help="those that train, with --requests")
    parser.add_argument("--data-dir", help="folder of the data sets; by default MTLKERAS_DATA names it")
    options = parser.parse_args()

    import mtlkeras

    now = time.process_time if options.cpu else time.perf_counter
    if options.requests:
        reading, training, batches = requests(options.batches, options.data_dir)
        print(f"python {' '.join(sys.argv)}\n\n| run | batches a second | ratio |\n| --- | ---: | ---: |")
        show(rates(reading, batches, options.repeats, now), "reading")
        show(rates(training, options.batches, options.repeats, now), "training")
        return
    sizes, width, batch = options.examples, options.width, options.batch
    parts = sources(sizes, width, batch)
    mixed = {
        "mixed": mtlkeras.data.mix(parts),
        'mixed within="batch"': mtlkeras.data.mix(parts, within="batch"),
    }

    print(f"python {' '.join(sys.argv)}\n\n| run | examples a second | ratio |\n| --- | ---: | ---: |")
    whole = together(sizes, width, batch)
    runs = {"plain": reader(whole)}
    runs |= {name: reader(dataset) for name, dataset in mixed.items()}
    show(rates(runs, sum(sizes), options.repeats, now), "reading")
    if options.fit:
        tasks = [f"task_{i}" for i in range(len(sizes))]
        runs = {"plain": fitter(whole, tasks, width)}
        runs |= {name: fitter(dataset, tasks, width) for name, dataset in mixed.items()}
        show(rates(runs, sum(sizes), options.repeats, now), "training")


if __name__ == "__main__":
    main()
