"""Sharing schemes on real data, against single-task models: parameters, time of a step, scores, Δm.

    python benchmarks/sharing.py PROBLEM --keep FILE.jsonl [--schemes HardSharing MMoE ...] [--seeds 0 1 2]
                                 [--epochs N] [--data-dir DIR]
    python benchmarks/sharing.py PROBLEM --keep FILE.jsonl --show
    python benchmarks/sharing.py PROBLEM --times [--schemes ...]

PROBLEM is one of multifashion (a LeNet, five epochs, as in docs/balancing_results.md), adult, coffee_leaf and
ud_ewt (heads, trunk, optimizer and data of the recipe). Every scheme is trained in the same way, so is a
model for each task alone; a training that the file has is not run again. The scores are those of the last
epoch on the test split: nothing is chosen on it. Δm is the mean of the tasks' relative changes against the
single-task models. With --times, steps of all models are taken in turns, and the medians compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Problem(NamedTuple):
    """What is trained, and by what it is judged.

    Args:
        epochs: Number of epochs.
        scores: The metric of each task that Δm is made of.
        more: Further metrics that are shown.
        schemes: The schemes, as expressions of `mtlkeras.sharing`, by name.
    """

    epochs: int
    scores: dict[str, str]
    more: tuple[str, ...] = ()
    schemes: dict[str, str] = {}  # noqa: RUF012


PROBLEMS = {
    "multifashion": Problem(
        5,
        {"left": "left_accuracy", "right": "right_accuracy"},
        schemes={
            "HardSharing": "HardSharing()",
            "MMoE": "MMoE(experts=2)",
            "PLE": "PLE(experts=1, shared_experts=1)",
            "CrossStitch": "CrossStitch()",
            "MTAN": "MTAN()",
            "SoftSharing": "SoftSharing()",
            "Adapters": "Adapters()",
            "Branching": "Branching(at='conv_1', groups=(('left',), ('right',)))",
        },
    ),
    "adult": Problem(
        12,
        {"income": "income_auc", "marital_status": "marital_status_accuracy"},
        ("income_accuracy",),
        schemes={
            "HardSharing": "HardSharing()",
            "MMoE": "MMoE()",
            "MMoE, DSelect-k": "MMoE(gate='dselect_k', k=2)",
            "PLE": "PLE()",
            "PLE, 2 levels": "PLE(levels=2)",
            "CrossStitch": "CrossStitch()",
            "MTAN": "MTAN()",
            "SoftSharing": "SoftSharing()",
            "Adapters": "Adapters()",
            "Branching": "Branching(at='hidden_1', groups=(('income',), ('marital_status',)))",
        },
    ),
    "coffee_leaf": Problem(
        10,
        {"stress": "stress_accuracy", "severity": "severity_accuracy", "findings": "findings_auc"},
        schemes={
            "HardSharing": "HardSharing()",
            "MTAN": "MTAN()",
            "Adapters": "Adapters()",
            "CrossStitch": "CrossStitch()",
            "Branching": "Branching(at='stage_2', groups=(('stress', 'findings'), ('severity',)))",
        },
    ),
    "ud_ewt": Problem(
        5,
        {task: f"{task}_accuracy" for task in ("upos", "xpos", "feats", "genre")},
        schemes={
            "HardSharing": "HardSharing()",
            "MTAN": "MTAN()",
            "Adapters": "Adapters()",
            "CrossStitch": "CrossStitch()",
            "Branching": "Branching(at='embedding', groups=(('upos', 'xpos', 'feats'), ('genre',)))",
        },
    ),
}


def lenet() -> Any:
    """Returns the trunk of the recipe `multifashion` as a spec, of which there can be several."""
    import keras

    import mtlkeras
    from mtlkeras.trunks import Stage

    @mtlkeras.spec
    class LeNet(mtlkeras.trunks.Trunk):
        gives = ("vector",)

        def start(self, inputs: Any) -> Any:
            return mtlkeras.trunks.Flow(keras.layers.Rescaling(1 / 255, name="scaled")(inputs))

        def stages(self, flow: Any) -> list[Stage]:
            return [
                Stage("conv_1", self.first),
                Stage("conv_2", self.second),
                Stage("dense", self.dense),
            ]

        def first(self, flow: Any) -> Any:
            return self.convolved(flow, "conv_1", 10)

        def second(self, flow: Any) -> Any:
            return self.convolved(flow, "conv_2", 20)

        def convolved(self, flow: Any, name: str, filters: int) -> Any:
            x = keras.layers.Conv2D(filters, 5, activation="relu", name=f"{name}_filters")(flow.x)
            return flow.to(keras.layers.MaxPooling2D(name=f"{name}_pool")(x))

        def dense(self, flow: Any) -> Any:
            flat = keras.layers.Flatten(name="flat")(flow.x)
            return flow.to(keras.layers.Dense(50, "relu", name="units")(flat))

        def end(self, flow: Any) -> Any:
            return mtlkeras.Features(vector=flow.x, taps=flow.taps, source=self)

    return LeNet()


class Setup:
    """Data of a problem, and its models."""

    def __init__(self, name: str, data_dir: str | None, epochs: int | None) -> None:
        from mtlkeras._app.recipe import Recipe, find_recipe

        self.name, self.problem, self.data_dir = name, PROBLEMS[name], data_dir
        self.epochs = epochs or self.problem.epochs
        self.recipe = Recipe(find_recipe(name))

    def data(self, split: str, alone: str | None = None) -> Any:
        import mtlkeras

        found = self.recipe.data(split, self.recipe.constant("BATCH_SIZE"), self.data_dir)
        return found if alone is None else mtlkeras.data.keep_tasks(found, [alone])

    def model(self, scheme: str | None, alone: str | None, steps: int) -> Any:
        """Returns a compiled model: with a scheme, or of one task alone."""
        import keras

        import mtlkeras
        from mtlkeras._app.hyperparameters import HyperParameters

        fixed = {"data_dir": self.data_dir or "", "epochs": self.epochs, "steps_per_epoch": steps}
        whole = self.recipe.build(HyperParameters(fixed=fixed))
        first = self.name == "multifashion"
        trunk = lenet() if first else whole.trunk.get_layer("features").trunk
        optimizer = keras.optimizers.Adam(1e-3) if first else _copy(whole.optimizer)
        heads = {task: head for task, head in whole.heads.items() if alone in (None, task)}
        # Inputs of other models, made anew.
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), whole.input
        )
        sharing = scheme and eval(scheme, vars(mtlkeras.sharing))
        model = mtlkeras.build_model(inputs, trunk, heads, sharing=sharing or None)
        model.compile(optimizer)
        return model

    def run(self, scheme: str | None, alone: str | None, seed: int) -> dict[str, Any]:
        """Trains once; returns scores of the test split, parameters and seconds of an epoch."""
        import keras

        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        train, test = (self.data(split, alone) for split in ("train", "test"))
        model = self.model(scheme, alone, int(train.cardinality()))
        start = time.perf_counter()
        model.fit(train, epochs=self.epochs, verbose=2)
        seconds = (time.perf_counter() - start) / self.epochs
        logs = model.evaluate(test, return_dict=True, verbose=0)
        wanted = [*self.problem.scores.values(), *self.problem.more]
        return {
            "scores": {name: float(logs[name]) for name in wanted if name in logs},
            "trunk_parameters": model.trunk.count_params(),
            "parameters": model.count_params(),
            "epoch_seconds": seconds,
        }


def _copy(optimizer: Any) -> Any:
    import keras

    return keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))


class Kept:
    """Results in a file of JSON lines.

    Args:
        path: The file.
        key: What must be the same for results to be comparable.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path, self.key = path, key
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [row for row in map(json.loads, lines) if all(row[k] == v for k, v in key.items())]

    def find(self, scheme: str) -> dict[int, dict[str, Any]]:
        return {row["seed"]: row for row in self.rows if row["scheme"] == scheme}

    def add(self, scheme: str, seed: int, found: dict[str, Any]) -> None:
        row = {**self.key, "scheme": scheme, "seed": seed, **found}
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def kept_arguments(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser of what every script has whose results are kept: file, seeds, data, `--show`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keep", type=Path, required=True, help="file of results, which a later run goes on from"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--data-dir")
    parser.add_argument("--show", action="store_true")
    return parser


def train_all(setup: Setup, schemes: dict[str, str], seeds: list[int], kept: Kept) -> None:
    for seed in seeds:  # All schemes of a seed first: a run that is stopped has whole pairs.
        for task in setup.problem.scores:
            if seed not in kept.find(f"{task} alone"):
                kept.add(f"{task} alone", seed, setup.run(None, task, seed))
        for name, scheme in schemes.items():
            if seed not in kept.find(name):
                kept.add(name, seed, setup.run(scheme, None, seed))


def show(problem: Problem, schemes: dict[str, str], kept: Kept) -> None:
    names = [*problem.scores.values(), *problem.more]
    print(f"| scheme | trunk's parameters | {' | '.join(names)} | Δm, % | seeds |")
    print("|" + " --- |" * (len(names) + 4))
    alone = {task: kept.find(f"{task} alone") for task in problem.scores}
    single = {
        score: statistics.mean(row["scores"][score] for row in alone[task].values())
        for task, score in problem.scores.items()
    }
    cells = [f"{single[s]:.4f}" if s in single else "" for s in names]
    total = sum(next(iter(rows.values()))["trunk_parameters"] for rows in alone.values())
    print(f"| single-task models | {total:,} | {' | '.join(cells)} | 0 | {len(next(iter(alone.values())))} |")
    for name in schemes:
        found = list(kept.find(name).values())
        if found:
            print(row_of(name, found, names, problem, single))


def row_of(name: str, found: list, names: list[str], problem: Problem, single: dict[str, float]) -> str:
    """Returns a scheme's row of the table, each number with the standard deviation over the seeds."""
    cells = [_with_spread([row["scores"][score] for row in found], ".4f") for score in names]
    changes = [
        statistics.mean(100 * (row["scores"][s] / single[s] - 1) for s in problem.scores.values())
        for row in found
    ]
    size = found[0]["trunk_parameters"]
    return f"| {name} | {size:,} | {' | '.join(cells)} | {_with_spread(changes, '+.2f')} | {len(found)} |"


def _with_spread(values: list[float], form: str) -> str:
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {statistics.stdev(values):{form.replace('+', '')}}" if len(values) > 1 else mean


def times(setup: Setup, schemes: dict[str, str], rounds: int = 7, steps: int = 20) -> None:
    """Prints the time of a training step against that of hard sharing: medians of rounds in turns."""
    train = setup.data("train").take(steps).cache().repeat()
    models = {name: setup.model(scheme, None, steps) for name, scheme in schemes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            start = time.process_time()
            model.fit(train, steps_per_epoch=steps, verbose=0)
            if turn:  # The first compiles.
                seconds[name].append(time.process_time() - start)
    first = seconds[next(iter(seconds))]
    print("| scheme | ms a step, processor time | ratio |")
    print("| --- | --- | --- |")
    for name, found in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        print(f"| {name} | {1000 * statistics.median(found) / steps:.1f} | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", choices=list(PROBLEMS))
    parser.add_argument("--keep", type=Path, help="file of results, which a later run goes on from")
    parser.add_argument("--schemes", nargs="*", help="some of those of the problem; all by default")
    parser.add_argument("--scheme", nargs="*", default=[], metavar="NAME=EXPRESSION", help="further ones")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data-dir")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--times", action="store_true")
    args = parser.parse_args()
    setup = Setup(args.problem, args.data_dir, args.epochs)
    known = setup.problem.schemes
    schemes = {name: known[name] for name in (known if args.schemes is None else args.schemes)}
    schemes |= dict(text.split("=", 1) for text in args.scheme)
    if args.times:
        times(setup, schemes)
        return
    kept = Kept(args.keep, {"problem": args.problem, "epochs": setup.epochs})
    if not args.show:
        train_all(setup, schemes, args.seeds, kept)
    show(setup.problem, schemes, kept)


if __name__ == "__main__":
    main()
