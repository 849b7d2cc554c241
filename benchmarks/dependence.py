"""What a `TaskChain` brings over independent heads, a neural chain and scikit-learn's chains; what it costs.

    python benchmarks/dependence.py [--problems yeast adult] [--seeds 0 1 2 3 4] [--data-dir DIR]
                                    [--keep FILE.jsonl]
    python benchmarks/dependence.py --times [--data-dir DIR]

`yeast`: the 14 labels and the settings of the recipe, trained on the 1,500 genes of the published training
part. `adult`: income, marital status and relationship from the inputs of the recipe `adult`; of the training
split half of the labels of each task are removed at random, others by each seed. The nets are an MLP with the
recipe's settings; all read the same features, standardised, with words one-hot. The neural chain gives each
head the scores of all heads before it (`after=`). Trees are those of `TaskChain.from_labels` of the training
labels; conditional tables have an L2 penalty of 0.001 on yeast.

scikit-learn's chain is a `ClassifierChain` of logistic regressions, C = 0.1 on yeast and 1 on adult, in
another random order each seed, with the labels before as one-hot features. It cannot leave out a missing
label, so on adult it learns from the eighth of the persons that have all three; independent regressions learn
from those that have the task's. Its answers are found greedily, for both columns of exact match; its
likelihood is exact.

--times: processor time of a training step of the recipe `adult` with `dependence="chain"` over one without,
on one batch, in turns; the median of the ratios.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import mtlkeras
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras.data import Label
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel
from mtlkeras.metrics import ExactMatch, HammingLoss, JointLogLikelihood
from mtlkeras.trunks import MLP

FIGURES = ("log-likelihood", "exact match, together", "exact match, each", "Hamming")
STATES = ("Husband", "Wife", "Own-child", "Not-in-family", "Other-relative", "Unmarried")


class Problem(NamedTuple):
    """Features, and labels `(examples, tasks)` with -1 for those that are missing, of both splits."""

    name: str
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    classes: tuple[int, ...]
    recipe: Recipe
    settings: dict[str, Any]  # Of the recipe's net.
    strength: float  # C of the regressions.

    @property
    def tasks(self) -> list[str]:
        return [f"task_{i}" for i in range(len(self.classes))]

    def columns(self, split: str) -> dict[str, np.ndarray]:
        return {task: self.y[split][:, i] for i, task in enumerate(self.tasks)}


def yeast(seed: int, data_dir: str | None) -> Problem:
    recipe = Recipe(find_recipe("yeast"))
    found = {split: recipe.module.arrays(split, data_dir) for split in ("train", "valid", "test")}
    x, y = (
        {"train": np.concatenate([found["train"][i], found["valid"][i]]), "test": found["test"][i]}
        for i in range(2)
    )
    mean, scale = x["train"].mean(0), x["train"].std(0)
    return Problem(
        "yeast", {s: (v - mean) / scale for s, v in x.items()}, y, (2,) * 14, recipe, settings(recipe), 0.1
    )


def adult(seed: int, data_dir: str | None) -> Problem:
    recipe = Recipe(find_recipe("adult"))
    module = recipe.module
    classes = {"income": module.INCOMES, "marital-status": module.STATUSES, "relationship": STATES}
    x, y = {}, {}
    for split, part in (("train", {"split": "train", **module.TRAIN}), ("test", {"split": None, "seed": 0})):
        rows, labels = mtlkeras.data.to_arrays(
            mtlkeras.data.load(
                f"adult/{split}.csv.gz",
                tasks={task.replace("-", "_"): Label(task, classes=names) for task, names in classes.items()},
                inputs=[*module.NUMBERS, *module.WORDS],
                batch_size=4096,
                data_dir=data_dir,
                shuffle=False,
                **part,
            )
        )
        x[split], y[split] = rows, np.stack([labels[task.replace("-", "_")] for task in classes], axis=1)
    removed = np.random.default_rng(seed).random(y["train"].shape) < 0.5
    y["train"] = np.where(removed, mtlkeras.MISSING, y["train"])
    made = settings(recipe, data_dir=data_dir or "")
    features = {split: as_features(rows, x["train"], module) for split, rows in x.items()}
    return Problem("adult", features, y, tuple(map(len, classes.values())), recipe, made, 1.0)


def settings(recipe: Recipe, **fixed: Any) -> dict[str, Any]:
    """Returns what a recipe builds its net with by default."""
    hp = HyperParameters(fixed=fixed)
    recipe.build(hp)
    return hp.values


def as_features(rows: dict[str, Any], train: dict[str, Any], module: Any) -> np.ndarray:
    """Returns standardised numbers, and words one-hot."""
    numbers = [(np.ravel(rows[n]) - train[n].mean()) / train[n].std() for n in module.NUMBERS]
    words = [np.ravel(rows[w])[:, None] == np.unique(train[w]) for w in module.WORDS]
    return np.concatenate([np.stack(numbers, axis=1), *words], axis=1).astype("float32")


def net(problem: Problem, seed: int, dependence: Callable | None = None, neural: bool = False) -> list[float]:
    """Trains a net; returns its figures on the test split."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    made = problem.settings
    chain = dependence(problem) if dependence else None
    y = {split: problem.columns(split) for split in ("train", "test")}
    weight = 1 / len(y["train"])
    regular = {"dropout": made["dropout"], "l2": made.get("l2", 0.0)}
    heads: dict[str, Any] = {
        task: Classification(
            classes,
            **regular,
            metrics=(),
            loss_weight=weight,
            after=tuple(problem.tasks[:i]) if neural else (),
        )
        for i, (task, classes) in enumerate(zip(problem.tasks, problem.classes, strict=True))
    }
    if problem.name == "yeast" and not neural:
        # The same as 14 heads, and compiled sooner. Its loss is the labels' mean without a chain.
        heads = {
            "task": MultiLabel(14, **regular, metrics=(), loss_weight=weight if chain is not None else 1.0)
        }
        y = {split: {"task": problem.y[split]} for split in y}
    model = mtlkeras.build_model(
        problem.x["train"].shape[1:],
        MLP(made["depth"], made["width"], **regular),
        heads,
        dependence=chain,
    )
    epochs, size = problem.recipe.constant("EPOCHS"), problem.recipe.constant("BATCH_SIZE")
    steps = epochs * -(-len(problem.x["train"]) // size)
    tasks = tuple(heads)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(made["learning_rate"], steps)),
        joint_metrics=[
            JointLogLikelihood(tasks),
            ExactMatch(tasks, joint=True),
            ExactMatch(tasks),
            HammingLoss(tasks),
        ],
    )
    model.fit(problem.x["train"], y["train"], batch_size=size, epochs=epochs, verbose=0)
    logs = model.evaluate(problem.x["test"], y["test"], batch_size=1024, verbose=0, return_dict=True)
    return [logs[k] for k in ("joint_log_likelihood", "joint_exact_match", "exact_match", "hamming_loss")]


def in_order(problem: Problem) -> TaskChain:
    return TaskChain(("task",) if problem.name == "yeast" else tuple(problem.tasks))


def from_labels(problem: Problem, **fields: Any) -> TaskChain:
    labels = {"task": problem.y["train"]} if problem.name == "yeast" else problem.columns("train")
    return TaskChain.from_labels(labels, **fields)


def conditional(problem: Problem) -> TaskChain:
    return from_labels(problem, conditional=True, l2=1e-3 if problem.name == "yeast" else 0.0)


def regression(problem: Problem) -> LogisticRegression:
    return LogisticRegression(C=problem.strength, tol=1e-3, max_iter=300)


def independent_regressions(problem: Problem, seed: int) -> list[float]:
    answers, logs = [], []
    for i in range(len(problem.classes)):
        labels = problem.y["train"][:, i]
        model = regression(problem).fit(problem.x["train"][labels >= 0], labels[labels >= 0])
        answers.append(model.predict(problem.x["test"]))
        logs.append(log_of(model, problem.x["test"], problem.y["test"][:, i]))
    return figures(np.stack(answers, axis=1), sum(logs), problem)


def chained_regressions(problem: Problem, seed: int) -> list[float]:
    width, most = problem.x["train"].shape[1], max(problem.classes)
    coded = FunctionTransformer(functools.partial(one_hot_behind, width=width, classes=most))
    chain = ClassifierChain(make_pipeline(coded, regression(problem)), order="random", random_state=seed)
    whole = (problem.y["train"] >= 0).all(axis=1)
    chain.fit(problem.x["train"][whole], problem.y["train"][whole])
    x, y = problem.x["test"], problem.y["test"]
    before = np.concatenate([x, y[:, chain.order_]], axis=1)
    logs = [
        log_of(model, before[:, : width + i], y[:, chain.order_[i]])
        for i, model in enumerate(chain.estimators_)
    ]
    return figures(chain.predict(x).astype(int), sum(logs), problem)


def one_hot_behind(x: np.ndarray, width: int, classes: int) -> np.ndarray:
    """Returns features with what stands behind them, classes, one-hot; for two classes their number."""
    if classes == 2:
        return x
    labels = x[:, width:, None] == np.arange(classes)
    return np.concatenate([x[:, :width], labels.reshape(len(x), -1)], axis=1)


def log_of(model: Any, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each label; a class that was not seen has one in a million."""
    table = np.full((len(x), labels.max() + 1), 1e-6)
    table[:, np.asarray(model.classes_, int)] = model.predict_proba(x)
    return np.log(np.maximum(table[np.arange(len(x)), labels], 1e-6))


def figures(answers: np.ndarray, logs: np.ndarray, problem: Problem) -> list[float]:
    same = answers == problem.y["test"]
    exact = float(same.all(axis=1).mean())
    return [float(logs.mean()), exact, exact, float(1 - same.mean())]


PROBLEMS = {"yeast": yeast, "adult": adult}
MODELS: dict[str, Callable[[Problem, int], list[float]]] = {
    "independent heads": net,
    "neural chain": functools.partial(net, neural=True),
    "TaskChain in order": functools.partial(net, dependence=in_order),
    "TaskChain.from_labels": functools.partial(net, dependence=from_labels),
    "the same, conditional": functools.partial(net, dependence=conditional),
    "scikit-learn, independent": independent_regressions,
    "scikit-learn, ClassifierChain": chained_regressions,
}


def measure(args: argparse.Namespace) -> None:
    """Measures what is not known yet, a seed at a time, and prints a table of each problem."""
    kept: dict[tuple, list[float]] = {}
    if args.keep and args.keep.exists():
        lines = map(json.loads, args.keep.read_text().splitlines())
        kept = {(line["problem"], line["model"], line["seed"]): line["figures"] for line in lines}
    for name in args.problems:
        for seed in args.seeds:
            todo = [model for model in MODELS if (name, model, seed) not in kept]
            problem = PROBLEMS[name](seed, args.data_dir) if todo else None
            for model in todo:
                found = kept[name, model, seed] = [float(v) for v in MODELS[model](problem, seed)]
                line = {"problem": name, "model": model, "seed": seed, "figures": found}
                print(json.dumps(line), file=sys.stderr, flush=True)
                if args.keep:
                    with args.keep.open("a") as file:
                        file.write(json.dumps(line) + "\n")
        print_table(name, [[kept[name, model, seed] for seed in args.seeds] for model in MODELS])


def print_table(name: str, runs: list[list[list[float]]]) -> None:
    print(f"\n| {name} | {' | '.join(FIGURES)} |\n|{' --- |' * (len(FIGURES) + 1)}")
    for model, of_model in zip(MODELS, runs, strict=True):
        cells = []
        for values in zip(*of_model, strict=True):
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.4f} ± {spread:.4f}")
        print(f"| {model} | {' | '.join(cells)} |")


def measure_times(args: argparse.Namespace) -> None:
    import tensorflow as tf

    recipe = Recipe(find_recipe("adult"))
    size = recipe.constant("BATCH_SIZE")
    batch = next(iter(recipe.data("train", size, args.data_dir)))
    data = tf.data.Dataset.from_tensors(batch).cache().repeat()
    fixed = {"data_dir": args.data_dir or ""}
    models = [recipe.build(HyperParameters({"dependence": choice}, fixed)) for choice in ("none", "chain")]

    def step(model: Any) -> float:
        start = time.process_time()
        model.fit(data, steps_per_epoch=args.steps, epochs=1, verbose=0)
        return 1e3 * (time.process_time() - start) / args.steps

    for model in models:
        step(model)
    pairs = []
    for turn in range(args.rounds):
        first, second = models if turn % 2 else models[::-1]
        times = {id(first): step(first), id(second): step(second)}
        pairs.append([times[id(model)] for model in models])
    ratios = sorted(chained / alone for alone, chained in pairs)
    quarter = len(ratios) // 4
    print(
        f"a step of adult, batch of {size}: {statistics.median(a for a, _ in pairs):.2f} ms of processor "
        "time; "
        f"with a chain {statistics.median(ratios):.3f} of that "
        f"(quartiles {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}, {len(ratios)} rounds)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--data-dir", help="folder of the data sets; by default MTLKERAS_DATA names it")
    parser.add_argument(
        "--keep", type=Path, help="file of results, a line each, which a later run goes on from"
    )
    parser.add_argument("--times", action="store_true", help="measure a training step instead")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    print(f"$ python {' '.join(sys.argv)}")
    (measure_times if args.times else measure)(args)


if __name__ == "__main__":
    main()
