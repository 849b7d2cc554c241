"""A trunk trained on one data set of requests for another with few labels: four ways, by labels a class.

    python benchmarks/transfer.py --keep FILE.jsonl [--ways frozen l2sp ...] [--labels 1 5 20] [--seeds 0 1 2]
                                  [--source-epochs N] [--steps N] [--alpha A] [--data-dir DIR]
    python benchmarks/transfer.py --keep FILE.jsonl --show [--picture FILE.svg]

The source is the recipe `fb_multilingual` (domain, intent, slots), trained once and kept beside FILE; the
target the intents of `hwu64`, with so many requests of each drawn from the training folds by the seed, the
same for all ways. The ways are `frozen` (the head alone), `l2sp` (everything, held near the start),
`stages` (the head for a quarter of the steps, then all, unfrozen stage by stage with rates by stage) and
`scratch` (the same trunk, drawn anew). Each takes as many steps of Adam at 0.002, down to zero on a cosine.
A training that the file has is not run again. The score is the accuracy on the test fold after the last step:
nothing is chosen on it.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from sharing import kept_arguments

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WAYS = ("frozen", "l2sp", "stages", "scratch")
BATCH = 32
RATE = 2e-3


def source_model(path: Path, epochs: int | None, data_dir: str | None) -> Any:
    """Returns the model of the source, trained once."""
    import keras

    import mtlkeras
    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe

    if path.exists():
        return mtlkeras.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    recipe = Recipe(find_recipe("fb_multilingual"))
    train = recipe.data("train", recipe.constant("BATCH_SIZE"), data_dir)
    epochs = epochs or recipe.constant("EPOCHS")
    fixed = {"data_dir": data_dir or "", "epochs": epochs, "steps_per_epoch": int(train.cardinality())}
    model = recipe.build(HyperParameters(fixed=fixed))
    model.fit(train, epochs=epochs, verbose=2)
    part = path.with_suffix(".part.keras")
    model.save(part)
    part.rename(path)
    return model


def examples(split: str, data_dir: str | None) -> tuple[Any, Any]:
    """Returns the tokens of a split, padded with "", and the intents."""
    import numpy as np

    from mtlkeras._app.recipe import Recipe, find_recipe

    rows, labels = [], []
    for x, y in Recipe(find_recipe("hwu64")).data(split, 256, data_dir):
        rows += list(np.asarray(x))
        labels.append(np.asarray(y["intent"]))
    longest = max(len(row) for row in rows)
    tokens = np.full((len(rows), longest), b"", object)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens, np.concatenate(labels)


def drawn(labels: Any, count: int, seed: int) -> Any:
    """Returns rows of `count` examples of each class, as many as there are where there are fewer."""
    import numpy as np

    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:count] for c in np.unique(labels[labels >= 0])]
    return rng.permutation(np.concatenate(chosen))


def run(way: str, count: int, seed: int, steps: int, alpha: float, source: Any, data: Any) -> dict[str, Any]:
    """Trains once; returns the accuracy on the test fold, and seconds."""
    import keras
    from keras.optimizers.schedules import CosineDecay

    from mtlkeras.heads import Classification
    from mtlkeras.training import Phase, fit_phases
    from mtlkeras.transfer import L2SP, reuse_trunk

    (x, y), test = data
    keras.utils.set_random_seed(seed)
    rows = drawn(y, count, seed)
    heads = {"intent": Classification(int(y.max()) + 1)}
    penalty = L2SP(alpha, beta=0.0) if way == "l2sp" else None
    origin = keras.models.clone_model(source) if way == "scratch" else source
    model = reuse_trunk(origin, heads, freeze=way == "frozen", penalty=penalty)
    per_epoch = -(-len(rows) // BATCH)
    epochs = max(4, steps // per_epoch)
    model.compile(keras.optimizers.Adam(CosineDecay(RATE, epochs * per_epoch), global_clipnorm=5.0))
    start = time.perf_counter()
    labelled = x[rows], {"intent": y[rows]}
    if way == "stages":
        phases = [
            Phase("heads", epochs // 4),
            Phase(
                "all",
                epochs - epochs // 4,
                unfreeze_every=max(1, epochs // 8),
                stage_decay=1 / 2.6,
                keep_optimizer=True,
            ),
        ]
        fit_phases(model, labelled, phases, batch_size=BATCH, verbose=0)
    else:
        model.fit(*labelled, batch_size=BATCH, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    logs = model.evaluate(test[0], {"intent": test[1]}, batch_size=256, return_dict=True, verbose=0)
    return {"accuracy": float(logs["intent_accuracy"]), "examples": len(rows), "seconds": seconds}


def spread(rows: list[dict[str, Any]]) -> str:
    """Returns the mean accuracy, with the standard deviation over the seeds."""
    values = [row["accuracy"] for row in rows]
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def show(rows: list[dict[str, Any]], ways: list[str], labels: list[int], picture: Path | None) -> None:
    """Prints the table; draws the curves if there is a place for them."""
    print(f"| way | {' | '.join(f'{n} an intent' for n in labels)} | seeds |")
    print("|" + " --- |" * (len(labels) + 2))
    curves = {}
    for way in ways:
        by_count = {n: [row for row in rows if (row["way"], row["labels"]) == (way, n)] for n in labels}
        if any(by_count.values()):
            curves[way] = {n: found for n, found in by_count.items() if found}
            cells = [spread(found) if found else "" for found in by_count.values()]
            print(f"| {way} | {' | '.join(cells)} | {min(map(len, curves[way].values()))} |")
    if picture is not None:
        draw(curves, picture)


def draw(curves: dict[str, dict[int, list[dict[str, Any]]]], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    colours = ("#1f5fa8", "#b3410f", "#2d6e2f", "#5c5c5c")
    for (way, found), colour, marker in zip(curves.items(), colours, "osD^", strict=False):
        means = [statistics.mean(row["accuracy"] for row in rows) for rows in found.values()]
        ends = [[row["accuracy"] for row in rows] for rows in found.values()]
        axes.plot(list(found), means, color=colour, marker=marker, label=way)
        axes.fill_between(
            list(found), [min(e) for e in ends], [max(e) for e in ends], color=colour, alpha=0.15
        )
    axes.set_xscale("log")
    axes.set_xticks(counts := sorted({n for found in curves.values() for n in found}), map(str, counts))
    axes.minorticks_off()
    axes.set_xlabel("labels an intent")
    axes.set_ylabel("accuracy on the test fold")
    axes.set_title("Intents of hwu64 on a trunk trained on fb_multilingual")
    axes.legend()
    figure.savefig(picture)


def main() -> None:
    parser = kept_arguments(__doc__)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--labels", type=int, nargs="*", default=[1, 5, 20])
    parser.add_argument("--source-epochs", type=int)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--alpha", type=float, default=0.01, help="factor of L2-SP")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    key = {"source_epochs": args.source_epochs, "steps": args.steps, "alpha": args.alpha}
    lines = args.keep.read_text().splitlines() if args.keep.exists() else []
    rows = [row for row in map(json.loads, lines) if all(row[name] == value for name, value in key.items())]
    todo = [
        (seed, count, way)  # All ways of a seed first: what is stopped has whole pairs.
        for seed in args.seeds
        for count in args.labels
        for way in args.ways
        if not any((row["way"], row["labels"], row["seed"]) == (way, count, seed) for row in rows)
    ]
    if todo and not args.show:
        epochs = args.source_epochs or "all"
        source = source_model(
            args.keep.with_suffix(f".source-{epochs}.keras"), args.source_epochs, args.data_dir
        )
        data = examples("train", args.data_dir), examples("test", args.data_dir)
        for seed, count, way in todo:
            found = run(way, count, seed, args.steps, args.alpha, source, data)
            rows.append({**key, "way": way, "labels": count, "seed": seed, **found})
            with args.keep.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    show(rows, args.ways, args.labels, args.picture)


if __name__ == "__main__":
    main()
