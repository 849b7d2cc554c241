"""Does a measure of relatedness foretell which tasks help each other? The twelve assays of Tox21 in pairs.

    python benchmarks/affinity.py --keep FILE.jsonl [--seeds 0 1 2] [--epochs N] [--data-dir DIR]
    python benchmarks/affinity.py --keep FILE.jsonl --show [--picture FILE.svg]

Trunk, optimizer and data are those of the recipe `tox21`, the trunk a quarter as wide for the sake of the
79 models of each seed: of each assay alone, of each two together, and of all twelve, trained for as many
epochs. A training that the file has is not run again. What an assay gains by another is its AUC with it
less its AUC alone, the AUC being the mean of those of the validation split and the test split after the
last epoch: nothing is chosen on either. Held against it are

- the affinity by looking ahead (`task_affinity`; Fifty et al. 2021), the mean over looks at one batch of
  1,024 examples after each epoch of the model of all twelve;
- the cosine of the two tasks' gradients at the same looks (`gradient_cosines`);
- the association of the training labels (`label_association`, Cramér's V);
- how alike the trunks of the two models alone see 500 molecules of the validation split
  (`representation_similarity`).

Shown is Spearman's rank correlation with the means over the seeds: over all ordered pairs, with a bootstrap
interval over the assays (pairs that share an assay are not independent, so that assays are drawn and not
pairs), and over the partners of one assay, the mean over the assays: that is what chooses a partner.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sharing import Kept, kept_arguments

WIDTH, LOOK_AT, COMPARED = 128, 1024, 500
SPLITS = ("valid", "test")
MEASURES = {
    "affinity": "affinity by looking ahead",
    "cosine": "cosine of gradients",
    "labels": "association of labels",
    "alike": "likeness of trunks alone",
}


class Setup:
    """Data and models of the recipe."""

    def __init__(self, data_dir: str | None, epochs: int | None) -> None:
        from mtlkeras._app.recipe import Recipe, find_recipe

        self.recipe, self.data_dir = Recipe(find_recipe("tox21")), data_dir
        self.epochs = epochs or self.recipe.constant("EPOCHS")

    @functools.cache  # noqa: B019 - there is one setup.
    def arrays(self, split: str) -> Any:
        import mtlkeras

        return mtlkeras.data.to_arrays(self.recipe.data(split, 256, self.data_dir))

    @functools.cached_property
    def tasks(self) -> list[str]:
        return list(self.arrays("train")[1])

    @functools.cached_property
    def parts(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Trunk, heads, and the configuration of the optimizer."""
        import keras

        from mtlkeras._app.hyperparameters import HyperParameters

        steps = -(-len(self.arrays("train")[0]) // self.recipe.constant("BATCH_SIZE"))
        whole = self.recipe.build(HyperParameters(fixed={"epochs": self.epochs, "steps_per_epoch": steps}))
        trunk = dataclasses.replace(whole.trunk.get_layer("features").trunk, width=WIDTH)
        return trunk, dict(whole.heads), keras.optimizers.serialize(whole.optimizer)

    def train(self, tasks: list[str], seed: int, callbacks: Callable[[Any], list[Any]] | None = None) -> Any:
        """Returns a trained model of some tasks.

        Args:
            tasks: Their names.
            seed: The seed.
            callbacks: Makes the callbacks of a model.
        """
        import keras

        import mtlkeras

        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        x, y = self.arrays("train")
        trunk, heads, optimizer = self.parts
        model = mtlkeras.build_model(x.shape[1:], trunk, {task: heads[task] for task in tasks})
        model.compile(keras.optimizers.deserialize(optimizer))
        labels = {task: y[task] for task in tasks}
        more = callbacks(model) if callbacks else []
        size = self.recipe.constant("BATCH_SIZE")
        model.fit(x, labels, batch_size=size, epochs=self.epochs, verbose=0, callbacks=more)
        return model

    def scores(self, model: Any) -> dict[str, float]:
        """Returns each task's AUC, the mean over the splits."""
        by_split = []
        for split in SPLITS:
            x, y = self.arrays(split)
            labels = {task: y[task] for task in model.heads}
            logs = model.evaluate(x, labels, batch_size=512, return_dict=True, verbose=0)
            by_split.append({task: logs[f"{task}_auc"] for task in model.heads})
        return {task: float(statistics.mean(one[task] for one in by_split)) for task in model.heads}


def looks(setup: Setup, model: Any, seed: int, found: dict[str, list[Any]]) -> list[Any]:
    """Returns a callback that looks at gradients and affinity after each epoch."""
    import keras

    from mtlkeras import analysis

    x, y = setup.arrays("train")
    rows = np.random.default_rng(seed).permutation(len(x))[:LOOK_AT]
    batch = x[rows], {task: labels[rows] for task, labels in y.items()}

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            found["affinity"].append(analysis.task_affinity(model, batch).values)
            found["cosine"].append(analysis.gradient_cosines(model, batch).cosines["all"].values)

    return [Look()]


def together(setup: Setup, seed: int) -> dict[str, Any]:
    """Trains all twelve, and returns what was seen meanwhile, from row to column."""
    found: dict[str, list[Any]] = {"affinity": [], "cosine": []}
    model = setup.train(setup.tasks, seed, lambda model: looks(setup, model, seed, found))
    measured = {name: np.nanmean(values, axis=0).tolist() for name, values in found.items()}
    return {"scores": setup.scores(model), "measured": measured}


def train_all(setup: Setup, seeds: list[int], kept: Kept) -> None:
    from mtlkeras import analysis

    for seed in seeds:
        if seed not in kept.find("all"):
            kept.add("all", seed, together(setup, seed))
        if seed not in kept.find("alike"):
            models = {}
            for place, task in enumerate(setup.tasks):
                # Trunks that begin with the same weights are alike before they have learnt anything.
                models[task] = setup.train([task], seed + 1000 * (place + 1))
                kept.add(task, seed, {"scores": setup.scores(models[task])})
            x = setup.arrays("valid")[0][:COMPARED]
            alike = analysis.representation_similarity(models, x)["end"]
            kept.add("alike", seed, {"measured": {"alike": alike.values.tolist()}})
            del models
        for place, pair in enumerate(itertools.combinations(setup.tasks, 2)):
            if seed not in kept.find(" + ".join(pair)):
                model = setup.train(list(pair), seed + 1000 * (place + 100))
                kept.add(" + ".join(pair), seed, {"scores": setup.scores(model)})


def matrices(setup: Setup, kept: Kept, seeds: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns what the column's task gains by the row's, seed by seed, and the mean of each measure."""
    from mtlkeras import analysis, heads

    tasks = setup.tasks
    gains = np.full((len(seeds), len(tasks), len(tasks)), np.nan)
    for place, seed in enumerate(seeds):
        for (i, _), (j, b) in itertools.permutations(enumerate(tasks), 2):
            pair = " + ".join(tasks[k] for k in sorted((i, j)))
            found = kept.find(pair)[seed]["scores"][b]
            gains[place, i, j] = 100 * (found - kept.find(b)[seed]["scores"][b])
    measured = {
        name: np.mean([kept.find(of)[seed]["measured"][name] for seed in seeds], axis=0)
        for of, name in (("all", "affinity"), ("all", "cosine"), ("alike", "alike"))
    }
    of = dict.fromkeys(tasks, heads.Classification(2))
    labels = analysis.label_association(setup.arrays("train")[1], of, classes="cramers_v")
    measured["labels"] = np.array([[labels[a, b] if a != b else np.nan for b in tasks] for a in tasks])
    return gains, measured


def correlation(measure: np.ndarray, gains: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """Returns the rank correlation over all ordered pairs, and a 95 % interval over the assays."""
    from scipy.stats import spearmanr

    count = len(gains)
    rng = np.random.default_rng(0)

    def of(drawn: np.ndarray) -> float:
        rows, columns = np.meshgrid(drawn, drawn, indexing="ij")
        others = rows != columns
        return float(spearmanr(measure[rows, columns][others], gains[rows, columns][others]).statistic)

    found = [of(rng.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(found, (0.025, 0.975)) if found else (np.nan, np.nan)
    return of(np.arange(count)), float(low), float(high)


def over_partners(measure: np.ndarray, gains: np.ndarray) -> float:
    """Returns the rank correlation over the partners of an assay, the mean over the assays."""
    from scipy.stats import spearmanr

    others = ~np.eye(len(gains), dtype=bool)
    columns = zip(measure.T, gains.T, others.T, strict=True)
    return float(np.mean([spearmanr(m[other], g[other]).statistic for m, g, other in columns]))


def show(setup: Setup, kept: Kept, seeds: list[int], picture: Path | None) -> None:
    gains, measured = matrices(setup, kept, seeds)
    mean = gains.mean(0)
    others = ~np.eye(len(mean), dtype=bool)
    above = (mean[others] > 0).mean()
    print(
        f"{len(seeds)} seeds. An assay gains by another {mean[others].mean():+.2f} points of AUC in the mean,"
    )
    print(f"{mean[others].min():+.2f} to {mean[others].max():+.2f}; more than 0 in {above:.0%} of the pairs.")
    if len(seeds) > 1:
        noise = gains.std(0, ddof=1)[others].mean()
        rest = [np.delete(gains, k, 0).mean(0) for k in range(len(seeds))]
        pairs = list(zip(gains, rest, strict=True))
        again = statistics.mean(correlation(one, two, 0)[0] for one, two in pairs)
        within = statistics.mean(over_partners(one, two) for one, two in pairs)
        print(
            f"Standard deviation over the seeds {noise:.2f}; rank correlation of the gains of one seed with"
        )
        print(
            f"the mean of the others {again:.2f}, over an assay's partners {within:.2f}: how well any measure"
        )
        print("can be expected to do.")
    print("\n| measure | over all pairs | 95 % interval | over an assay's partners |")
    print("| --- | --- | --- | --- |")
    for name, title in MEASURES.items():
        value, low, high = correlation(measured[name], mean)
        within = over_partners(measured[name], mean)
        print(f"| {title} | {value:+.2f} | {low:+.2f} to {high:+.2f} | {within:+.2f} |")
    alone, whole = (
        [statistics.mean(kept.find(of or task)[s]["scores"][task] for s in seeds) for task in setup.tasks]
        for of in (None, "all")
    )
    print("\n| assay | alone | with that of the highest affinity | which | with all |")
    print("| --- | --- | --- | --- | --- |")
    for place, task in enumerate(setup.tasks):
        best = int(np.where(others[:, place], measured["affinity"][:, place], -np.inf).argmax())
        pair = alone[place] + mean[best, place] / 100
        print(f"| {task} | {alone[place]:.3f} | {pair:.3f} | {setup.tasks[best]} | {whole[place]:.3f} |")
    if picture is not None:
        draw(measured, mean, picture)


def draw(measured: dict[str, np.ndarray], gains: np.ndarray, picture: Path) -> None:
    from matplotlib.figure import Figure

    others = ~np.eye(len(gains), dtype=bool)
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    figure.suptitle("What an assay of Tox21 gains by another, against measures of relatedness")
    for axes, (name, title) in zip(figure.subplots(2, 2, sharey=True).flat, MEASURES.items(), strict=True):
        value, low, high = correlation(measured[name], gains)
        axes.axhline(0, color="#8a8a8a", linewidth=0.8)
        axes.scatter(measured[name][others], gains[others], s=12, alpha=0.6, color="#1f5fa8", linewidths=0)
        axes.set_title(f"rank correlation {value:+.2f} ({low:+.2f} to {high:+.2f})", fontsize=10)
        axes.set_xlabel(title)
        axes.set_ylabel("gain, points of AUC")
    figure.savefig(picture)


def main() -> None:
    parser = kept_arguments(__doc__)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    setup = Setup(args.data_dir, args.epochs)
    kept = Kept(args.keep, {"problem": "tox21 in pairs", "epochs": setup.epochs})
    if not args.show:
        train_all(setup, args.seeds, kept)
    show(setup, kept, args.seeds, args.picture)


if __name__ == "__main__":
    main()
