"""What looking at the tasks' gradients costs a training.

    python benchmarks/gradient_cosines.py [--recipe adult] [--every 50 100] [--steps 200] [--rounds 15]

Processor time of the recipe's training steps, in turns with those of the same model without: with the
balancer `WatchGradients`, which sees the gradients of the representation in every step, and with the callback
`GradientCosines`, which looks at the gradients of all shared layers on one batch, each so many steps. Shown
is the median of the ratios, beside that of two models without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="adult")
    parser.add_argument("--every", type=int, nargs="*", default=[50, 100])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data-dir")
    args = parser.parse_args()

    import tensorflow as tf

    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe
    from mtlkeras._model.recompiling import Compilation
    from mtlkeras.analysis import GradientCosines
    from mtlkeras.balancers import WatchGradients

    recipe = Recipe(find_recipe(args.recipe))
    size = recipe.constant("BATCH_SIZE")
    batch = next(iter(recipe.data("train", size, args.data_dir)))
    data = tf.data.Dataset.from_tensors(batch).cache().repeat()

    def model_with(balancer: Any = None) -> Any:
        model = recipe.build(HyperParameters(fixed={"data_dir": args.data_dir or ""}))
        if balancer is not None:
            Compilation(model).use(model.optimizer, balancer)
        return model

    def step(model: Any, callbacks: list[Any]) -> float:
        start = time.process_time()
        model.fit(data, steps_per_epoch=args.steps, callbacks=callbacks, verbose=0)
        return time.process_time() - start

    plain = model_with()
    cases: dict[str, tuple[Any, list[Any]]] = {
        "none, another model": (model_with(), []),
        "each step, at the representation": (model_with(WatchGradients()), []),
    }
    for every in args.every:
        cases[f"the callback, each {every} steps"] = (plain, [GradientCosines(batch, every=every)])
    for case in [(plain, []), *cases.values()]:
        step(*case)  # The first compiles.
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(args.rounds):
        for name, case in cases.items():
            pair = [(plain, []), case]
            first, second = (step(*one) for one in (pair if turn % 2 else pair[::-1]))
            ratios[name].append(second / first if turn % 2 else first / second)
    print(f"python {' '.join(sys.argv)}\n\n| a look | steps cost, against without |\n| --- | --- |")
    for name, found in ratios.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"| {name} | {middle:.3f} (quartiles {low:.3f} to {high:.3f}) |")


if __name__ == "__main__":
    main()
