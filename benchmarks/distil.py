"""Two single-task teachers into one student, on two pieces of clothing in one picture.

    python benchmarks/distil.py --keep FILE.jsonl [--ways together distilled ...] [--seeds 0 1 2]
                                [--epochs N] [--data-dir DIR]
    python benchmarks/distil.py --keep FILE.jsonl --show

Data, LeNet and optimizer are those of `benchmarks/sharing.py multifashion`. A model for each task alone is
trained and kept beside FILE: the teachers, and what Δm is measured against. The ways are `together` (hard
sharing on the labels), `distilled` (the same model and epochs, half of each task's loss on the teachers'
outputs at T = 2), `distilled, T=4`, `teachers only` (all of the loss on them) and `with features` (the
teachers' features too). A training that the file has is not run again. The scores are those of the last epoch
on the test split: nothing is chosen on it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from sharing import Kept, Setup, lenet, show

WAYS: dict[str, dict[str, float]] = {
    "together": {},
    "distilled": {"temperature": 2.0, "weight": 0.5},
    "distilled, T=4": {"temperature": 4.0, "weight": 0.5},
    "teachers only": {"temperature": 2.0, "weight": 1.0},
    "with features": {"temperature": 2.0, "weight": 0.5, "feature_weight": 1.0},
}


def teacher(setup: Setup, task: str, seed: int, kept: Kept) -> Any:
    """Returns the model of a task alone, trained once."""
    import keras

    import mtlkeras

    lenet()  # Registers the trunk, which the file names.
    path = kept.path.with_suffix(f".{task}-{setup.epochs}-{seed}.keras")
    if path.exists():
        return mtlkeras.load_model(path)
    keras.utils.set_random_seed(seed)
    train = setup.data("train", task)
    model = setup.model(None, task, int(train.cardinality()))
    model.fit(train, epochs=setup.epochs, verbose=2)
    part = path.with_suffix(".part.keras")
    model.save(part)
    part.rename(path)
    return model


def scores(setup: Setup, model: Any, alone: str | None, seconds: float) -> dict[str, Any]:
    logs = model.evaluate(setup.data("test", alone), return_dict=True, verbose=0)
    return {
        "scores": {name: float(logs[name]) for name in setup.problem.scores.values() if name in logs},
        "trunk_parameters": model.trunk.count_params(),
        "parameters": model.count_params(),
        "epoch_seconds": seconds,
    }


def run(setup: Setup, way: str, teachers: dict[str, Any], seed: int) -> dict[str, Any]:
    """Trains once; returns scores of the test split, parameters and seconds of an epoch."""
    import keras

    from mtlkeras.transfer import distil

    keras.utils.set_random_seed(seed)
    train = setup.data("train")
    model = setup.model("HardSharing()", None, int(train.cardinality()))
    start = time.perf_counter()
    if WAYS[way]:
        distil(teachers, model, train, epochs=setup.epochs, verbose=2, **WAYS[way])  # type: ignore[arg-type]
    else:
        model.fit(train, epochs=setup.epochs, verbose=2)
    return scores(setup, model, None, (time.perf_counter() - start) / setup.epochs)


def train_all(setup: Setup, ways: list[str], seeds: list[int], kept: Kept) -> None:
    for seed in seeds:  # All ways of a seed first: a run that is stopped has whole pairs.
        missing = [way for way in ways if seed not in kept.find(way)]
        tasks = list(setup.problem.scores)
        if not missing and all(seed in kept.find(f"{task} alone") for task in tasks):
            continue
        teachers = {task: teacher(setup, task, seed, kept) for task in tasks}
        for task, model in teachers.items():
            if seed not in kept.find(f"{task} alone"):
                kept.add(f"{task} alone", seed, scores(setup, model, task, 0.0))
        for way in missing:
            kept.add(way, seed, run(setup, way, teachers, seed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", type=Path, required=True, help="file of results, which a later run goes on from"
    )
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data-dir")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    setup = Setup("multifashion", args.data_dir, args.epochs)
    kept = Kept(args.keep, {"problem": "multifashion", "epochs": setup.epochs})
    if not args.show:
        train_all(setup, args.ways, args.seeds, kept)
    show(setup.problem, dict.fromkeys(args.ways, ""), kept)


if __name__ == "__main__":
    main()
