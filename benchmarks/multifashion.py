"""MultiFashion by `MultiTaskModel` and by a Keras model written by hand: the same accuracy?

    python benchmarks/multifashion.py [--seeds 0 1 2] [--epochs 10] [--data-dir DIR]

Both have the LeNet of the recipe `multifashion`, its optimizer, data, batches and epochs; the one
by hand is a plain functional model with losses and metrics named per output. The accuracy is that
of the last epoch on the test split: nothing is chosen on it. The bound is 0.5 points.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TASKS = ("left", "right")


def by_hand(steps: int):
    import keras

    image = keras.Input((36, 36, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(10, 5, activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(20, 5, activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dense(50, activation="relu")(keras.layers.Flatten()(x))
    outputs = {
        task: keras.layers.Dense(10, activation="softmax", name=task)(
            keras.layers.Dense(50, activation="relu")(x)
        )
        for task in TASKS
    }
    model = keras.Model(image, outputs)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)),
        loss=dict.fromkeys(TASKS, "sparse_categorical_crossentropy"),
        metrics=dict.fromkeys(TASKS, "accuracy"),
    )
    return model


def ours(steps: int, epochs: int):
    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras._app.recipe import Recipe, find_recipe

    fixed = {"epochs": epochs, "steps_per_epoch": steps // epochs}
    return Recipe(find_recipe("multifashion")).build(HyperParameters(fixed=fixed))


def accuracy(model, train, test, epochs: int) -> float:
    """Trains and returns the mean accuracy of both tasks on the test split, in percent."""
    model.fit(train, epochs=epochs, verbose=0, shuffle=False)
    logs = model.evaluate(test, verbose=0, return_dict=True)
    return 100 * statistics.mean(logs[f"{task}_accuracy"] for task in TASKS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains MultiFashion with and without mtlkeras.")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data-dir")
    args = parser.parse_args()

    import keras

    from mtlkeras._app.recipe import Recipe, find_recipe

    recipe = Recipe(find_recipe("multifashion"))
    train, test = (
        recipe.data(split, recipe.constant("BATCH_SIZE"), args.data_dir) for split in ("train", "test")
    )
    steps = int(train.cardinality()) * args.epochs
    print(f"$ python {' '.join(sys.argv)}")
    print("| seed | mtlkeras | by hand | seconds |\n| --- | --- | --- | --- |")
    found: dict[str, list[float]] = {"ours": [], "by_hand": []}
    for seed in args.seeds:
        start = time.perf_counter()
        for name, make in (("ours", lambda: ours(steps, args.epochs)), ("by_hand", lambda: by_hand(steps))):
            keras.utils.set_random_seed(seed)
            found[name].append(accuracy(make(), train, test, args.epochs))
        row = (
            seed,
            f"{found['ours'][-1]:.2f}",
            f"{found['by_hand'][-1]:.2f}",
            round(time.perf_counter() - start),
        )
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    mine, theirs = (statistics.mean(found[name]) for name in ("ours", "by_hand"))
    print(f"mean {mine:.2f} against {theirs:.2f}: difference {mine - theirs:+.2f}")


if __name__ == "__main__":
    main()
