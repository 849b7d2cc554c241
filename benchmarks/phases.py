"""Two phases, the trunk with all heads and then the heads alone, against joint training of as many epochs.

    python benchmarks/phases.py PROBLEM --keep FILE.jsonl [--ways joint heads ...] [--seeds 0 1 2]
                                [--epochs N] [--data-dir DIR]
    python benchmarks/phases.py PROBLEM --keep FILE.jsonl --show

PROBLEM is one of digits, adult and coffee_leaf: data, model and optimizer of the recipe. The ways are
`joint` (all epochs together), `heads` (two thirds together, then the heads alone), `each` (two thirds
together, then each head alone, the last third shared among them) and `stages` (two thirds together, then
all, unfrozen stage by stage with rates by stage). Each phase takes its learning rate down to zero on a
cosine, those after the first from a tenth of the recipe's. A training that the file has is not run again.
The scores are those of the last epoch on the test split: nothing is chosen on it. `trunk moved` is the
largest change of a value of the trunk in the phases after the first, moving statistics included: 0 where it
is frozen.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SCORES = {
    "digits": ("digit_accuracy", "parity_accuracy"),
    "adult": ("income_auc", "income_accuracy", "marital_status_accuracy"),
    "coffee_leaf": ("stress_accuracy", "severity_accuracy", "findings_auc"),
}
WAYS = ("joint", "heads", "each", "stages")


def phases_of(way: str, tasks: list[str], stages: int, epochs: int, rate: float, steps: int) -> list[Any]:
    """Returns the phases of a way to train.

    Args:
        way: Its name.
        tasks: The tasks.
        stages: Number of stages of the trunk.
        epochs: Epochs in all.
        rate: The first learning rate of the recipe.
        steps: Steps of an epoch.
    """
    from keras.optimizers.schedules import CosineDecay

    from mtlkeras.training import Phase

    if way == "joint":
        return [Phase("all", epochs)]
    after = max(1, epochs // 3)
    if way == "each":
        after = max(1, after // len(tasks)) * len(tasks)
    elif way == "stages":
        after = max(after, stages + 1)
    before = max(1, epochs - after)
    first = Phase("all", before, name="together", learning_rate=CosineDecay(rate, before * steps))

    def fine(train: str, count: int, **fields: Any) -> Any:
        return Phase(train, count, learning_rate=CosineDecay(rate / 10, count * steps), **fields)

    if way == "each":
        return [first, *(fine(task, after // len(tasks)) for task in tasks)]
    if way == "stages":
        return [first, fine("all", after, name="stages", unfreeze_every=1, stage_decay=1 / 2.6)]
    return [first, fine("heads", after)]


def first_rate(optimizer: Any) -> float:
    """Returns the learning rate that an optimizer begins with, the highest of a warm-up."""
    rate = optimizer.get_config()["learning_rate"]
    config = rate["config"] if isinstance(rate, dict) else {"initial_learning_rate": rate}
    return float(config.get("warmup_target") or config["initial_learning_rate"])


def run(problem: str, way: str, seed: int, epochs: int | None, data_dir: str | None) -> dict[str, Any]:
    """Trains once; returns scores of the test split, how far the trunk moved, and seconds."""
    import keras
    import numpy as np

    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe
    from mtlkeras._model.parts import Parts
    from mtlkeras.training import fit_phases

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    recipe = Recipe(find_recipe(problem))
    train, test = (recipe.data(split, recipe.constant("BATCH_SIZE"), data_dir) for split in ("train", "test"))
    epochs, steps = epochs or recipe.constant("EPOCHS"), int(train.cardinality())
    model = recipe.build(
        HyperParameters(fixed={"data_dir": data_dir or "", "epochs": epochs, "steps_per_epoch": steps})
    )
    stages = len(Parts(model).stages)
    phases = phases_of(way, list(model.heads), stages, epochs, first_rate(model.optimizer), steps)
    trunks: list[Any] = []

    class KeepTrunk(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            trunks.append(self.model.trunk.get_weights())

    start = time.perf_counter()
    history = fit_phases(model, train, phases, verbose=2, callbacks=[KeepTrunk()])
    seconds = time.perf_counter() - start
    pairs = zip(trunks[1], model.trunk.get_weights(), strict=True) if len(trunks) > 1 else ()
    moved = [float(np.abs(a - b).max()) for a, b in pairs if a.size]
    logs = model.evaluate(test, return_dict=True, verbose=0)
    return {
        "scores": {name: float(logs[name]) for name in SCORES[problem]},
        "epochs_run": len(history.epoch),
        "trunk_moved": max(moved, default=None),
        "seconds": seconds,
    }


def show(problem: str, ways: list[str], rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    names = SCORES[problem]
    print(f"| way | {' | '.join(names)} | trunk moved | seconds | seeds |")
    print("|" + " --- |" * (len(names) + 4))
    for way in ways:
        found = [row for row in rows if row["way"] == way]
        if found:
            cells = [_with_spread([row["scores"][name] for row in found]) for name in names]
            moved = [row["trunk_moved"] for row in found if row["trunk_moved"] is not None]
            last = f"{max(moved):.3g}" if moved else ""
            seconds = statistics.mean(row["seconds"] for row in found)
            print(f"| {way} | {' | '.join(cells)} | {last} | {seconds:.0f} | {len(found)} |")


def _with_spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", choices=list(SCORES))
    parser.add_argument(
        "--keep", type=Path, required=True, help="file of results, which a later run goes on from"
    )
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data-dir")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    key = {"problem": args.problem, "epochs": args.epochs}
    lines = args.keep.read_text().splitlines() if args.keep.exists() else []
    rows = [row for row in map(json.loads, lines) if all(row[name] == value for name, value in key.items())]
    for seed in [] if args.show else args.seeds:  # All ways of a seed first: what is stopped has whole pairs.
        for way in args.ways:
            if not any((row["way"], row["seed"]) == (way, seed) for row in rows):
                found = run(args.problem, way, seed, args.epochs, args.data_dir)
                rows.append({**key, "way": way, "seed": seed, **found})
                with args.keep.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps(rows[-1]), flush=True)
    show(args.problem, args.ways, rows)


if __name__ == "__main__":
    main()
