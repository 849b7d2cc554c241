"""What looking at the tasks' gradients costs a training: `mtlkeras.analysis.GradientCosines`.

    python benchmarks/gradient_cosines.py [--recipe adult] [--every 50 100] [--steps 200] [--rounds 15]

Processor time of the recipe's training steps with the callback, which looks at one batch each so many steps,
over that without, in turns; the median of the ratios. The gradients are those of all shared layers, by stage.
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="adult")
    parser.add_argument("--every", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data-dir")
    args = parser.parse_args()

    import tensorflow as tf

    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe
    from mtlkeras.analysis import GradientCosines

    recipe = Recipe(find_recipe(args.recipe))
    size = recipe.constant("BATCH_SIZE")
    batch = next(iter(recipe.data("train", size, args.data_dir)))
    data = tf.data.Dataset.from_tensors(batch).cache().repeat()
    model = recipe.build(HyperParameters(fixed={"data_dir": args.data_dir or ""}))
    watches = {every: GradientCosines(batch, every=every) for every in args.every}

    def step(callbacks: list[Any]) -> float:
        start = time.process_time()
        model.fit(data, steps_per_epoch=args.steps, callbacks=callbacks, verbose=0)
        return time.process_time() - start

    for watch in watches.values():
        step([watch])
    ratios: dict[int, list[float]] = {every: [] for every in watches}
    for _ in range(args.rounds):
        for every, watch in watches.items():
            pair = step([]), step([watch])
            ratios[every].append(pair[1] / pair[0])
    print(f"python {' '.join(sys.argv)}\n\n| a look every | steps cost, against without |\n| ---: | --- |")
    for every, found in ratios.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"| {every} | {middle:.3f} (quartiles {low:.3f} to {high:.3f}) |")


if __name__ == "__main__":
    main()
