"""Trunks of the recipe `fashion` with half of their operations: accuracy, latency, size of the file.

    python benchmarks/pruning.py --keep FILE.jsonl [--trunks vgg resnet] [--ways base pruned whole]
                                 [--share 0.47] [--data-dir DIR]
    python benchmarks/pruning.py --keep FILE.jsonl --show

The ways are `base` (the recipe, trained for a quarter of its epochs), `pruned` (the base, made smaller in
six steps with a quarter of an epoch between them, then trained on while the learning rate decays to zero:
four epochs in all) and `whole` (the base, trained on in just that way, with all of its channels). With
`--ways scratch` a model as small as the pruned one is trained anew for all these epochs, eight. Rates and
steps were set beforehand; scores are those of the last epoch, on the validation split and on the test split.
Models are kept beside FILE, and a run that was stopped goes on from the last of them. At the end base,
pruned model and that without batch normalisation take turns, and the times of a prediction are compared, by
`predict_on_batch` and as exported: the medians, and what the fastest tenths stay under, which other work on
the machine disturbs least. `--times` measures them anew, `--untrained` those of models that are cut without
training.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharing import Kept

EPOCHS, TRAINED_ON = 4, 4.0  # A quarter of the recipe's, and as many again.
STEPS, BETWEEN = 6, 0.25
RATE_BETWEEN, RATE = 0.02, 0.05
BATCHES, ROUND_TO, SEED = 16, 8, 0
WAYS = ("base", "pruned", "whole", "scratch")
SPLITS = ("valid", "test")


class Setup:
    """The recipe's data and models of one trunk, and the files that models are kept in."""

    def __init__(self, trunk: str, share: float, kept: Path, data_dir: str | None) -> None:
        from mtlkeras._app.recipe import Recipe, find_recipe

        self.trunk, self.share, self.data_dir, self._kept = trunk, share, data_dir, kept
        self.recipe = Recipe(find_recipe("fashion"))

    @functools.cache  # noqa: B019 - there are two setups in all.
    def data(self, split: str) -> Any:
        return self.recipe.data(split, self.recipe.constant("BATCH_SIZE"), self.data_dir)

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return int(self.data("train").cardinality())

    def fresh(self, epochs: float) -> Any:
        """Returns a model that is not trained, with the recipe's optimizer for some epochs."""
        from mtlkeras._app.hyperparameters import HyperParameters

        fixed = {"trunk": self.trunk, "epochs": epochs, "steps_per_epoch": self.steps}
        return self.recipe.build(HyperParameters(fixed=fixed))

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns the model of a name from its file, or makes it."""
        import mtlkeras

        path = self._kept.with_suffix(f".{self.trunk}-{name}.keras")
        if not path.exists():
            part = path.with_suffix(".part.keras")
            make().save(part)
            part.rename(path)
        return mtlkeras.load_model(path)

    def base(self) -> Any:
        return self.kept("base", lambda: self.train(self.fresh(EPOCHS), EPOCHS))

    def pruned(self) -> Any:
        """Returns the base after all steps, the last of which is trained to the end."""
        return self.kept(f"pruned-{self.share:g}", self._pruned)

    def _pruned(self) -> Any:
        model = self.base()
        for step in range(1, STEPS):
            cut = functools.partial(self._step, model, step)
            model = self.kept(f"pruned-{self.share:g}-{step}", cut)
        return self._finish(self.cut(model, STEPS))

    def whole(self) -> Any:
        """Returns the base after the same training as the pruned model has."""
        return self.kept("whole", self._whole)

    def _whole(self) -> Any:
        model = self.base()
        for step in range(1, STEPS):
            model = self.kept(f"whole-{step}", functools.partial(self._between, model))
        return self._finish(model)

    def scratch(self) -> Any:
        """Returns a model as small as the pruned one that began anew."""
        return self.kept(f"scratch-{self.share:g}", self._from_nothing)

    def _step(self, model: Any, step: int) -> Any:
        return self._between(self.cut(model, step))

    def _between(self, model: Any) -> Any:
        return self.train(_with_rate(model, RATE_BETWEEN), BETWEEN)

    def cut(self, model: Any, step: int) -> Any:
        """Returns a model with its part of the operations of the base, for one of the steps."""
        from mtlkeras.compress import flops_by_layer, prune_channels

        whole, now = (sum(flops_by_layer(m).values()) for m in (self.fresh(EPOCHS), model))
        wanted = whole * self.share ** (step / STEPS)
        if wanted >= now:  # Rounding took more before.
            return model
        data = self.data("train").take(BATCHES)
        return prune_channels(model, data, flops=wanted / now, round_to=ROUND_TO)

    def _finish(self, model: Any) -> Any:
        import keras

        epochs = TRAINED_ON - (STEPS - 1) * BETWEEN
        rate = keras.optimizers.schedules.CosineDecay(RATE, round(epochs * self.steps))
        return self.train(_with_rate(model, rate), epochs)

    def _from_nothing(self) -> Any:
        import keras

        model = self.pruned()
        keras.utils.set_random_seed(SEED)
        made = type(model).from_config(model.get_config())  # The weights are drawn anew.
        made.compile(self.fresh(EPOCHS + TRAINED_ON).optimizer)
        return self.train(made, EPOCHS + TRAINED_ON)

    def train(self, model: Any, epochs: float) -> Any:
        """Trains for some epochs, of which there may be parts."""
        import keras

        keras.utils.set_random_seed(SEED)
        steps, train = round(epochs * self.steps), self.data("train")
        whole, rest = divmod(steps, self.steps)
        if whole:
            model.fit(train, epochs=whole, verbose=2)
        if rest:
            model.fit(train.take(rest), verbose=2)
        return model


class Untrained(Setup):
    """The same without training: for times, which hardly depend on which channels are cut."""

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        return super().kept(f"untrained-{name}", make)

    def train(self, model: Any, epochs: float) -> Any:
        return model


def _with_rate(model: Any, rate: Any) -> Any:
    import keras

    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True))
    return model


def result(setup: Setup, model: Any) -> dict[str, Any]:
    from mtlkeras.compress import flops_by_layer

    scores = {
        split: {
            name: value
            for name, value in model.evaluate(setup.data(split), return_dict=True, verbose=0).items()
            if name.endswith("_accuracy")
        }
        for split in SPLITS
    }
    return {
        "flops": sum(flops_by_layer(model).values()),
        "parameters": model.count_params(),
        "scores": scores,
    }


def train_all(setup: Setup, ways: list[str], kept: Kept) -> None:
    for way in ways:
        if SEED not in kept.find(way):
            kept.add(way, SEED, result(setup, getattr(setup, way)()))


def times(setup: Setup, rounds: int) -> dict[str, list[list[float]]]:
    """Returns medians and tenths of milliseconds, of base, pruned and folded model."""
    import numpy as np

    models = models_of(setup)
    images = np.concatenate([x["image"] if isinstance(x, dict) else x for x, _ in setup.data("test").take(1)])
    found: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        served = [_served(model, os.path.join(folder, str(i))) for i, model in enumerate(models)]
        for size, count in ((1, rounds), (64, max(rounds // 5, 1))):
            plain = in_turns([model.predict_on_batch for model in models], images[:size], count)
            found[f"batch {size}, `predict_on_batch`, ms"] = plain
            found[f"batch {size}, exported, ms"] = in_turns(served, images[:size], count)
    return found


def models_of(setup: Setup) -> list[Any]:
    """Returns the base, the pruned model, and that without its batch normalisation."""
    from mtlkeras.compress import fold_normalization

    pruned = setup.pruned()
    return [setup.base(), pruned, fold_normalization(pruned)]


def _served(model: Any, folder: str) -> Any:
    """Returns a model as it is served, with what keeps it alive."""
    import tensorflow as tf

    model.export(folder, verbose=False)
    loaded = tf.saved_model.load(folder)
    return lambda x: loaded.serve_raw(tf.constant(x))


def in_turns(calls: list[Any], x: Any, rounds: int) -> list[list[float]]:
    """Returns the medians of the calls' times, and the tenths."""
    import numpy as np

    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 3):  # The first ones trace.
        for call, found in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call(x)
            if turn >= 3:
                found.append(1000 * (time.perf_counter() - start))
    return [[float(np.quantile(found, q)) for found in taken] for q in (0.5, 0.1)]


def file_bytes(setup: Setup) -> list[float]:
    import numpy as np

    from mtlkeras.compress import compare

    image = np.zeros((1, 28, 28, 1), "uint8")
    base, *smaller = models_of(setup)
    return [
        compare(base, model, image, rounds=1)["file_bytes"][i]
        for model, i in [(base, 0), *((m, 1) for m in smaller)]
    ]


def show(trunk: str, kept: Kept) -> None:
    rows = {way: found[SEED] for way in WAYS if (found := kept.find(way))}
    if "base" in rows:
        base = rows["base"]
        tasks = list(base["scores"]["test"])
        heads = " | ".join(f"{task}, {split}" for task in tasks for split in SPLITS)
        print(f"\n| {trunk} | operations | weights | {heads} |\n|" + " --- |" * (3 + 2 * len(tasks)))
        for way, row in rows.items():
            cells = [f"{100 * row['scores'][split][task]:.2f}" for task in tasks for split in SPLITS]
            share = row["flops"] / base["flops"]
            print(f"| {way} | {share:.3f} | {row['parameters']:,} | {' | '.join(cells)} |")
    for row in kept.find("times").values():
        models = ("base", "pruned", "folded")
        print(f"\n| {trunk} | {' | '.join(models)} | base / pruned | base / folded | fastest tenths |")
        print("|" + " --- |" * 7)
        for name, (medians, tenths) in row["found"].items():
            fast = ", ".join(f"{ratio:.2f}" for ratio in _ratios(tenths))
            cells = [*(f"{value:.2f}" for value in [*medians, *_ratios(medians)]), fast]
            print(f"| {name} | {' | '.join(cells)} |")
        sizes = [
            *(f"{size:,}" for size in row["file_bytes"]),
            *(f"{r:.2f}" for r in _ratios(row["file_bytes"])),
        ]
        print(f"| file, bytes | {' | '.join(sizes)} | |")


def _ratios(values: list[float]) -> list[float]:
    return [values[0] / value for value in values[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", type=Path, required=True, help="file of results, which a later run goes on from"
    )
    parser.add_argument("--trunks", nargs="*", default=["vgg", "resnet"], help="of the recipe")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS[:3])
    parser.add_argument("--share", type=float, default=0.47, help="of the operations that is to be left")
    parser.add_argument("--rounds", type=int, default=300, help="predictions of one picture that are timed")
    parser.add_argument("--times", action="store_true", help="measure times anew")
    parser.add_argument(
        "--untrained", action="store_true", help="times alone, of models that are not trained"
    )
    parser.add_argument("--data-dir")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    for trunk in args.trunks:
        epochs = 0 if args.untrained else EPOCHS
        kept = Kept(args.keep, {"trunk": trunk, "share": args.share, "epochs": epochs})
        if not args.show:
            setup = (Untrained if args.untrained else Setup)(trunk, args.share, args.keep, args.data_dir)
            train_all(setup, [] if args.untrained else args.ways, kept)
            if "pruned" in args.ways and (args.times or not kept.find("times")):
                row = {"found": times(setup, args.rounds), "file_bytes": file_bytes(setup)}
                kept.add("times", SEED, row)
        show(trunk, kept)


if __name__ == "__main__":
    main()
