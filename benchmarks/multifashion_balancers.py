"""MultiFashion with every balancer at both levels, against single-task models and equal weighting.

    python benchmarks/multifashion_balancers.py [--seeds 0 1 2 3 4] [--epochs 5] [--methods MGDA ...]
                                                [--levels representation parameters] [--data-dir DIR]
                                                [--npz FILE.npz] [--workers 1] [--keep FILE.json]

The LeNet and the batches of the recipe `multifashion`, on its pictures or on those of a file with the
arrays x, left and right of each split (x_train, ..., right_test); Adam with a learning rate of 0.001. A
single-task model is the same network of which one task alone is trained. The accuracy is that of
the last epoch on the test split: nothing is chosen on it. Delta m is the mean of the tasks'
relative changes against the single-task models; the last column is the mean difference to equal
weighting, paired by seed, with its standard error: below twice that it is noise. Of some methods
further rows show other settings, and what weighing less often, or by a part of each batch, does.

With --npz it runs on each backend. Several workers share a GPU if JAX does not take all of its memory
(XLA_PYTHON_CLIENT_PREALLOCATE=false) and each seed of a method compiles once if compiled code is kept
(JAX_COMPILATION_CACHE_DIR).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TASKS = ("left", "right")
# Settings that are shown beside the defaults.
LESS_WORK: list[dict[str, Any]] = [{"every": 10}, {"gram_fraction": 0.25}]
VARIANTS = {
    "RLW": [{"distribution": "normal"}],
    **dict.fromkeys(("MGDA", "CAGrad", "PCGrad"), LESS_WORK),
}


class Method(NamedTuple):
    """How a model is trained: with a balancer by name and arguments, or with one task alone."""

    name: str
    balancer: str | None = None
    arguments: dict[str, Any] = {}  # noqa: RUF012
    alone: str | None = None

    def compile_arguments(self) -> dict[str, Any]:
        from mtlkeras import balancers

        if self.alone:
            return {"loss_weights": {task: float(task == self.alone) for task in TASKS}}
        return {"balancer": getattr(balancers, self.balancer)(**self.arguments)} if self.balancer else {}


ALONE = [Method(f"{task} alone", alone=task) for task in TASKS]
EQUAL = Method("equal weights")


def methods(names: list[str] | None, levels: list[str]) -> list[Method]:
    """Returns balancers at the levels that they have."""
    from mtlkeras import balancers

    if names is None:
        concrete = [getattr(balancers, name) for name in balancers.__all__]
        names = [
            cls.__name__
            for cls in concrete
            if issubclass(cls, balancers.Balancer) and cls.__module__ != "mtlkeras.balancers.base"
        ]
    found = []
    for name in names:
        both_levels = issubclass(getattr(balancers, name), balancers.GramBalancer)
        for settings in [{}, *VARIANTS.get(name, [])]:
            text = "".join(f", {field}={value}" for field, value in settings.items())
            if both_levels:
                found += [
                    Method(f"{name}, {level}{text}", name, {"at": level, **settings}) for level in levels
                ]
            else:
                found.append(Method(f"{name}{text}", name, settings))
    return found


def load_arrays(npz: Path | None, data_dir: str | None) -> dict[str, tuple]:
    """Returns images and labels by task of the splits."""
    import numpy as np

    import mtlkeras

    if npz is None:
        recipe = multifashion()
        size = recipe.constant("BATCH_SIZE")
        return {split: mtlkeras.data.to_arrays(recipe.data(split, size, data_dir)) for split in SPLITS}
    with np.load(npz) as arrays:
        return {
            split: (
                arrays[f"x_{split}"][..., np.newaxis],
                {task: arrays[f"{task}_{split}"].astype("int32") for task in TASKS},
            )
            for split in SPLITS
        }


SPLITS = ("train", "test")


def multifashion():
    from mtlkeras._app.recipe import Recipe, find_recipe

    return Recipe(find_recipe("multifashion"))


def accuracies(method: Method, seed: int, epochs: int, arrays: dict[str, tuple]) -> list[float]:
    """Trains once; returns each task's accuracy on the test split, in percent."""
    import keras

    from mtlkeras._app.hyperparameters import HyperParameters

    recipe = multifashion()
    batches = {"batch_size": recipe.constant("BATCH_SIZE"), "verbose": 0}
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = recipe.build(HyperParameters())
    model.compile(keras.optimizers.Adam(1e-3), **method.compile_arguments())
    model.fit(*arrays["train"], epochs=epochs, **batches)
    logs = model.evaluate(*arrays["test"], return_dict=True, **batches)
    return [100 * logs[f"{task}_accuracy"] for task in TASKS]


_arrays: dict[str, tuple] = {}


def start_worker(npz: Path | None, data_dir: str | None) -> None:
    _arrays.update(load_arrays(npz, data_dir))


def work(method: Method, seed: int, epochs: int) -> list[float]:
    return accuracies(method, seed, epochs, _arrays)


class Results:
    """Accuracies by method and seed; with a path they are kept there, so that a run stopped goes on.

    Args:
        path: A JSON file, made where it is not there.
        key: What must be the same for results to be comparable.
    """

    def __init__(self, path: Path | None, key: dict) -> None:
        self._path, self._key = path, key
        self._found: dict[str, dict[str, list[float]]] = {}
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            if kept["settings"] != key:
                raise SystemExit(f"{path} has results of other settings: {kept['settings']}, not {key}.")
            self._found = kept["results"]

    def has(self, method: Method, seed: int) -> bool:
        return str(seed) in self._found.get(method.name, {})

    def keep(self, method: Method, seed: int, found: list[float]) -> None:
        self._found.setdefault(method.name, {})[str(seed)] = found
        if self._path is not None:
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({"settings": self._key, "results": self._found}, indent=1))
            new.replace(self._path)

    def of(self, method: Method, seeds: list[int]) -> list[list[float]]:
        return [self._found[method.name][str(seed)] for seed in seeds]


def train_all(todo: list[Method], args: argparse.Namespace, results: Results) -> None:
    """Trains what is not known yet."""
    # All methods of a seed before the next seed: a run that is stopped has whole pairs.
    jobs = [(m, seed) for seed in args.seeds for m in todo if not results.has(m, seed)]
    context = multiprocessing.get_context("spawn")
    start = time.perf_counter()
    with concurrent.futures.ProcessPoolExecutor(
        args.workers, context, start_worker, (args.npz, args.data_dir)
    ) as pool:
        running = {pool.submit(work, method, seed, args.epochs): (method, seed) for method, seed in jobs}
        for count, future in enumerate(concurrent.futures.as_completed(running), 1):
            results.keep(*running[future], future.result())
            method, seed = running[future]
            spent = time.perf_counter() - start
            print(
                f"{count}/{len(jobs)} {method.name}, seed {seed}, {spent:.0f} s", file=sys.stderr, flush=True
            )


def print_table(todo: list[Method], seeds: list[int], results: Results) -> None:
    print("| balancer | left, % | right, % | Δm, % | over equal weights, points |")
    print("| --- | --- | --- | --- | --- |")
    single = [statistics.mean(run[i] for run in results.of(ALONE[i], seeds)) for i in range(2)]
    print(f"| single-task models | {single[0]:.2f} | {single[1]:.2f} | 0 | |")
    equal = results.of(EQUAL, seeds)
    for method in todo:
        found = results.of(method, seeds)
        left, right = (statistics.mean(run[i] for run in found) for i in range(2))
        change = statistics.mean(100 * (a / b - 1) for a, b in zip((left, right), single, strict=True))
        gains = [statistics.mean(a) - statistics.mean(b) for a, b in zip(found, equal, strict=True)]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        cells = f"{method.name} | {left:.2f} | {right:.2f} | {change:+.2f}"
        print(f"| {cells} | {statistics.mean(gains):+.2f} ± {error:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains MultiFashion with all balancers.")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--methods", nargs="*", help="names of balancers; all by default")
    parser.add_argument("--levels", nargs="*", default=["representation", "parameters"])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data-dir", help="folder of the Fashion-MNIST that the recipe reads")
    source.add_argument("--npz", type=Path, help="file of ready pictures instead")
    parser.add_argument("--workers", type=int, default=1, help="how many train at the same time")
    parser.add_argument("--keep", type=Path, help="JSON file of results, which a later run goes on from")
    args = parser.parse_args()

    todo = [EQUAL, *methods(args.methods, args.levels)]
    results = Results(args.keep, {"epochs": args.epochs, "npz": args.npz and args.npz.name})
    print(f"$ python {' '.join(sys.argv)}")
    train_all([*ALONE, *todo], args, results)
    print_table(todo, args.seeds, results)


if __name__ == "__main__":
    main()
