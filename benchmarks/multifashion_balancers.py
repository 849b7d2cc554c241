"""MultiFashion with every balancer at both levels, against single-task models and equal weighting.

    python benchmarks/multifashion_balancers.py [--seeds 0 1 2 3 4] [--epochs 5] [--methods MGDA ...]
                                                [--levels representation parameters] [--data-dir DIR]
                                                [--npz FILE.npz] [--keep FILE.json]

The LeNet and the batches of the recipe `multifashion`, on its pictures or on those of a file with the
arrays x, left and right of each split (x_train, ..., right_test); Adam with a learning rate of 0.001. A
single-task model is the same network of which one task alone is trained. The accuracy is that of
the last epoch on the test split: nothing is chosen on it. Delta m is the mean of the tasks'
relative changes against the single-task models; the last column is the mean difference to equal
weighting, paired by seed, with its standard error: below twice that it is noise.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TASKS = ("left", "right")


def methods(names: list[str] | None, levels: list[str]) -> dict:
    """Returns balancers by what to call them."""
    from mtlkeras import balancers
    from mtlkeras.balancers import GramBalancer

    if names is None:
        concrete = [getattr(balancers, name) for name in balancers.__all__]
        names = [
            cls.__name__
            for cls in concrete
            if issubclass(cls, balancers.Balancer) and cls.__module__ != "mtlkeras.balancers.base"
        ]
    found = {}
    for name in names:
        cls = getattr(balancers, name)
        if issubclass(cls, GramBalancer):
            found.update({f"{name}, {level}": cls(at=level) for level in levels})
        else:
            found[name] = cls()
    return found


def from_file(path: Path, split: str, batch_size: int, seed: int):
    """Returns the batches of one split of a file of ready pictures."""
    import numpy as np

    import mtlkeras

    with np.load(path) as arrays:
        images = arrays[f"x_{split}"][..., np.newaxis]
        labels = {task: arrays[f"{task}_{split}"] for task in TASKS}
    return mtlkeras.data.load(
        (images, labels),
        tasks={task: task for task in TASKS},
        shuffle=split == "train",
        batch_size=batch_size,
        seed=seed,
    )


def accuracies(recipe, train, test, epochs: int, seed: int, **compile_args) -> list[float]:
    """Trains once; returns each task's accuracy on the test split, in percent."""
    import keras

    from mtlkeras.hyperparameters import HyperParameters

    keras.utils.set_random_seed(seed)
    fixed = {"epochs": epochs, "steps_per_epoch": int(train.cardinality())}
    model = recipe.build(HyperParameters(fixed=fixed))
    model.compile(keras.optimizers.Adam(1e-3), **compile_args)
    model.fit(train, epochs=epochs, verbose=0, shuffle=False)
    logs = model.evaluate(test, verbose=0, return_dict=True)
    return [100 * logs[f"{task}_accuracy"] for task in TASKS]


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

    def get(self, name: str, seed: int, run: Callable[[], list[float]]) -> list[float]:
        """Returns what is known, or runs and keeps what comes of it."""
        by_seed = self._found.setdefault(name, {})
        if str(seed) not in by_seed:
            by_seed[str(seed)] = run()
            if self._path is not None:
                new = self._path.with_suffix(".new")
                new.write_text(json.dumps({"settings": self._key, "results": self._found}, indent=1))
                new.replace(self._path)
        return by_seed[str(seed)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains MultiFashion with all balancers.")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--methods", nargs="*", help="names of balancers; all by default")
    parser.add_argument("--levels", nargs="*", default=["representation", "parameters"])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data-dir", help="folder of the Fashion-MNIST that the recipe reads")
    source.add_argument("--npz", type=Path, help="file of ready pictures instead")
    parser.add_argument("--keep", type=Path, help="JSON file of results, which a later run goes on from")
    args = parser.parse_args()

    from mtlkeras.recipe import Recipe, find_recipe

    recipe = Recipe(find_recipe("multifashion"))
    size = recipe.constant("BATCH_SIZE")
    if args.npz is None:
        train, test = (recipe.data(split, size, args.data_dir) for split in ("train", "test"))
    else:
        train, test = (
            from_file(args.npz, split, size, recipe.constant("SEED")) for split in ("train", "test")
        )
    results = Results(args.keep, {"epochs": args.epochs, "npz": args.npz and args.npz.name})

    def by_seed(name: str, **compile_args) -> list[list[float]]:
        return [
            results.get(
                name,
                seed,
                functools.partial(accuracies, recipe, train, test, args.epochs, seed, **compile_args),
            )
            for seed in args.seeds
        ]

    def row(name: str, found: list[list[float]]) -> None:
        left, right = (statistics.mean(run[i] for run in found) for i in range(2))
        change = statistics.mean(100 * (a / b - 1) for a, b in zip((left, right), single, strict=True))
        gains = [statistics.mean(a) - statistics.mean(b) for a, b in zip(found, equal, strict=True)]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        cells = f"{name} | {left:.2f} | {right:.2f} | {change:+.2f}"
        print(f"| {cells} | {statistics.mean(gains):+.2f} ± {error:.2f} |", flush=True)

    print(f"$ python {' '.join(sys.argv)}")
    print("| balancer | left, % | right, % | Δm, % | over equal weights, points |")
    print("| --- | --- | --- | --- | --- |")
    alone = [
        by_seed(f"{task} alone", loss_weights={other: 0.0})
        for task, other in zip(TASKS, reversed(TASKS), strict=True)
    ]
    single = [statistics.mean(run[i] for run in alone[i]) for i in range(2)]
    print(f"| single-task models | {single[0]:.2f} | {single[1]:.2f} | 0 | |", flush=True)
    equal = by_seed("equal weights")
    row("equal weights", equal)
    for name, balancer in methods(args.methods, args.levels).items():
        row(name, by_seed(name, balancer=balancer))


if __name__ == "__main__":
    main()
