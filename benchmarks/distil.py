"""Two single-task teachers into one student, on two pieces of clothing in one picture.

    python benchmarks/distil.py --keep FILE.jsonl [--ways "together, longer" ...] [--seeds 0 1 2]
                                [--data-dir DIR]
    python benchmarks/distil.py --keep FILE.jsonl --show

Data and LeNet are those of the recipe `multifashion`; all models are trained by Adam, whose rate decays from
0.01 to zero as a cosine. A model for each task alone is trained for five epochs, as in docs/sharing.md, and
kept beside FILE: the teachers, and what Δm is measured against. The ways are `together` (hard sharing on the
labels) and `distilled` (the same model, half of each task's loss on the teachers' outputs at T = 2), both for
five epochs; `..., longer` is the same for ten, as many as both teachers have, and `..., longest` for 25. A
training that the file has is not run again. Shown are the scores of the last epoch, on the validation split
and on the test split: nothing is chosen on the latter. The rate was chosen on the validation split, by a seed
of its own (10, ten epochs, of 0.001, 0.003 and 0.01): it is the best of a task alone and of both together.
"""

from __future__ import annotations

import time
from typing import Any

from sharing import PROBLEMS, Kept, kept_arguments, lenet, show

EPOCHS, RATE = 5, 1e-2
TASKS = ("left", "right")
SPLITS = ("test", "valid")
# Epochs, and what is given to `distil`.
WAYS: dict[str, tuple[int, dict[str, float]]] = {
    "together": (EPOCHS, {}),
    "distilled": (EPOCHS, {"temperature": 2.0, "weight": 0.5}),
    "together, longer": (2 * EPOCHS, {}),
    "distilled, longer": (2 * EPOCHS, {"temperature": 2.0, "weight": 0.5}),
    "together, longest": (5 * EPOCHS, {}),
    "distilled, longest": (5 * EPOCHS, {"temperature": 2.0, "weight": 0.5}),
}


class Setup:
    """Data, and models."""

    def __init__(self, data_dir: str | None, kept: Kept) -> None:
        from mtlkeras._app.recipe import Recipe, find_recipe

        self._recipe, self._data_dir, self._kept = Recipe(find_recipe("multifashion")), data_dir, kept
        self._size = self._recipe.constant("BATCH_SIZE")
        self._arrays: dict[str, Any] = {}

    def data(self, split: str, tasks: Any = TASKS) -> tuple[Any, dict[str, Any]]:
        """Returns pictures, and labels by task."""
        import mtlkeras

        if split not in self._arrays:
            batches = self._recipe.data(split, self._size, self._data_dir)
            self._arrays[split] = mtlkeras.data.to_arrays(batches)
        x, y = self._arrays[split]
        return x, {task: y[task] for task in tasks}

    def model(self, tasks: Any, epochs: int) -> Any:
        """Returns a compiled model of some tasks, for a training of so many epochs."""
        import keras

        import mtlkeras

        steps = epochs * -(-len(self.data("train")[0]) // self._size)
        image = keras.Input((36, 36, 1), dtype="uint8", name="image")
        heads = {task: mtlkeras.heads.Classification(10, hidden=(50,)) for task in tasks}
        model = mtlkeras.build_model(image, lenet(), heads)
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)))
        return model

    def teacher(self, task: str, seed: int) -> Any:
        """Returns the model of a task alone, trained once."""
        import keras

        import mtlkeras

        lenet()  # Registers the trunk, which the file names.
        path = self._kept.path.with_suffix(f".{task}-{seed}.keras")
        if path.exists():
            return mtlkeras.load_model(path)
        keras.utils.set_random_seed(seed)
        model = self.model([task], EPOCHS)
        x, y = self.data("train", [task])
        start = time.perf_counter()
        model.fit(x, y, batch_size=self._size, epochs=EPOCHS, verbose=2)
        self.keep(f"{task} alone", seed, model, [task], (time.perf_counter() - start) / EPOCHS)
        part = path.with_suffix(".part.keras")
        model.save(part)
        part.rename(path)
        return model

    def student(self, way: str, seed: int) -> None:
        """Trains a model of both tasks, once."""
        import keras

        from mtlkeras.transfer import distil

        epochs, given = WAYS[way]
        teachers = {task: self.teacher(task, seed) for task in TASKS}
        keras.utils.set_random_seed(seed)
        model, (x, y) = self.model(TASKS, epochs), self.data("train")
        fit: dict[str, Any] = {"batch_size": self._size, "epochs": epochs, "verbose": 2}
        start = time.perf_counter()
        if given:
            distil(teachers, model, (x, y), **fit, **given)
        else:
            model.fit(x, y, **fit)
        self.keep(way, seed, model, TASKS, (time.perf_counter() - start) / epochs)

    def keep(self, name: str, seed: int, model: Any, tasks: Any, seconds: float) -> None:
        """Puts the scores of both splits into the file."""
        found = {}
        for split in SPLITS:
            logs = model.evaluate(
                *self.data(split, tasks), batch_size=self._size, return_dict=True, verbose=0
            )
            found[split] = {f"{task}_accuracy": float(logs[f"{task}_accuracy"]) for task in tasks}
        self._kept.add(
            name,
            seed,
            {
                "scores": found["test"],
                "valid": found["valid"],
                "trunk_parameters": model.trunk.count_params(),
                "parameters": model.count_params(),
                "epoch_seconds": seconds,
            },
        )


def main() -> None:
    parser = kept_arguments(__doc__)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    args = parser.parse_args()
    kept = Kept(args.keep, {"problem": "multifashion", "rate": RATE})
    if not args.show:
        setup = Setup(args.data_dir, kept)
        for seed in args.seeds:  # All ways of a seed first: a run that is stopped has whole pairs.
            for way in args.ways:
                if seed not in kept.find(way):
                    setup.student(way, seed)
    for split in SPLITS:
        print(f"\nThe {split} split:")
        shown = Kept(args.keep, kept.key)
        shown.rows = [{**row, "scores": row["scores" if split == "test" else split]} for row in kept.rows]
        show(PROBLEMS["multifashion"], dict.fromkeys(args.ways, ""), shown)


if __name__ == "__main__":
    main()
