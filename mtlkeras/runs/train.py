"""Training a recipe into a run folder."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from mtlkeras import __version__
from mtlkeras.hyperparameters import HyperParameters
from mtlkeras.recipe import SPLITS, Recipe
from mtlkeras.report import write_report
from mtlkeras.runs.folder import RunFolder, check_run_dir, create_run

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "numpy")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What a run takes from its caller instead of from the recipe; `None` means the recipe's.

    Args:
        epochs: Number of epochs.
        batch_size: Examples in a batch.
        seed: Seed of the initial weights, dropout and the like. Splits do not depend on it.
        run_dir: Folder of the run; `None` for the next `runs/<recipe>-N`.
        data_dir: Folder of the data.
        settings: Values of hyperparameters by name.
        overwrite: Whether a run in `run_dir` is replaced.
        check_inputs: Whether NaN or infinity in an input is an error.
        jit: Whether the training step is compiled by XLA; `None` leaves it to Keras.
        dtype_policy: Keras' dtype policy, such as `"mixed_bfloat16"`.
        export: Whether a SavedModel is written.
        verbose: Keras' verbosity: 0 silent, 1 a progress bar, 2 a line an epoch.
    """

    epochs: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    run_dir: str | None = None
    data_dir: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    overwrite: bool = False
    check_inputs: bool = False
    jit: bool | None = None
    dtype_policy: str | None = None
    export: bool = True
    verbose: int = 2


@dataclasses.dataclass
class Job:
    """A recipe made ready to be trained: data, model and the values they were made with."""

    recipe: Recipe
    options: TrainOptions
    epochs: int
    batch_size: int
    seed: int
    data: dict[str, Any]
    hp: HyperParameters
    model: Any


def prepare(recipe: Recipe, options: TrainOptions) -> Job:
    """Loads the data and builds the model; nothing is written yet.

    Raises:
        ValueError: If a setting does not exist or does not fit, or the recipe has a fault.
        FileNotFoundError: If the data are not there.
        FileExistsError: If the folder of the run is taken.
    """
    if options.run_dir is not None:
        check_run_dir(options.run_dir, options.overwrite)
    seed = recipe.constant("SEED") if options.seed is None else options.seed
    epochs = options.epochs or recipe.constant("EPOCHS")
    batch_size = options.batch_size or recipe.constant("BATCH_SIZE")
    keras.utils.set_random_seed(seed)
    if options.dtype_policy is not None:
        keras.config.set_dtype_policy(options.dtype_policy)
    data = {split: recipe.data(split, batch_size, options.data_dir) for split in SPLITS}
    if options.check_inputs:
        from mtlkeras.data import check_finite

        data = {split: check_finite(dataset) for split, dataset in data.items()}
    steps = count_batches(data["train"])
    hp = HyperParameters(options.settings, fixed={"epochs": epochs, "steps_per_epoch": steps})
    model = recipe.build(hp)
    hp.check()
    if options.jit is not None:
        model.jit_compile = options.jit
    if recipe.adapt:
        model.adapt(data["train"])
    return Job(recipe, options, epochs, batch_size, seed, data, hp, model)


def count_batches(dataset: Any) -> int:
    """Returns the number of batches of a data set, by reading it where it does not tell.

    Raises:
        ValueError: If it is empty or without end.
    """
    count = int(dataset.cardinality())
    if count == -1:
        raise ValueError("data('train') of the recipe has no end: give one epoch, without repeat().")
    count = sum(1 for _ in dataset) if count < 0 else count
    if count == 0:
        raise ValueError("data('train') of the recipe is empty.")
    return count


def train(job: Job, say: Callable[[str], None]) -> RunFolder:
    """Trains, evaluates the best epoch once on the test split, and writes all results.

    Args:
        job: What `prepare` gave.
        say: Takes a line of text for the user.

    Returns:
        The folder of the run. Its status tells how far it came if an exception ends it.
    """
    run = create_run(job.recipe, job.options.run_dir, job.options.overwrite)
    run.write_config(**_config(job))
    say(f"training into {run}")
    start = time.monotonic()
    try:
        history = _fit(job, run)
        metrics = {split: _evaluate(job, split) for split in ("valid", "test")}
        run.write_json("metrics.json", metrics)
        if job.options.export and keras.backend.backend() == "tensorflow":
            say("writing the SavedModel and the report")
            job.model.export(str(run.file("saved_model")))
        run.write_config(seconds=time.monotonic() - start)
        write_report(run.path, job.model, run.config, history, metrics)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        run.write_config(
            status=status, error=f"{type(error).__name__}: {error}", seconds=time.monotonic() - start
        )
        error.add_note(f"The partial run is in {run}.")
        raise
    run.write_config(status="finished")
    return run


def _fit(job: Job, run: RunFolder) -> dict[str, list[float]]:
    own = job.recipe.function("callbacks")
    history = job.model.fit(
        job.data["train"],
        validation_data=job.data["valid"],
        epochs=job.epochs,
        verbose=job.options.verbose,
        callbacks=[*_callbacks(job, run), *(own() if own else [])],
    )
    job.model.load_weights(run.model_file)
    return history.history


def _callbacks(job: Job, run: RunFolder) -> list[Any]:
    part = run.file(".model.part.keras")
    monitor = job.recipe.constant("MONITOR")
    callbacks: list[Any] = [
        keras.callbacks.ModelCheckpoint(part, monitor=monitor, save_best_only=True),
        KeepRun(run, part),
    ]
    if importlib.util.find_spec("tensorboard") and keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(str(run.file("tensorboard")), write_graph=False))
    return callbacks


class KeepRun(keras.callbacks.Callback):
    """Keeps the files of a run up to date after each epoch, each of them whole.

    Args:
        run: The run's folder.
        part: Where a checkpoint of the best epoch is written before it becomes the run's.
    """

    def __init__(self, run: RunFolder, part: Path) -> None:
        super().__init__()
        self._run, self._part = run, part
        self._history: dict[str, list[float]] = {}
        self._best = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self._part.exists():
            self._best = epoch + 1
            os.replace(self._part, self._run.model_file)
        self._run.write_json("history.json", self._history)
        rows = [["epoch", *self._history], *zip(itertools.count(1), *self._history.values(), strict=False)]
        self._run.write_text("history.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
        self._run.write_config(epochs_done=epoch + 1, best_epoch=self._best)


def _evaluate(job: Job, split: str) -> dict[str, float]:
    return job.model.evaluate(job.data[split], verbose=0, return_dict=True)


def _config(job: Job) -> dict[str, Any]:
    return {
        "about": job.recipe.about,
        "expected": job.recipe.constant("RESULT"),
        "monitor": job.recipe.constant("MONITOR"),
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "seed": job.seed,
        "data_dir": None if job.options.data_dir is None else str(Path(job.options.data_dir).resolve()),
        "settings": job.hp.values,
        "dtype_policy": keras.config.dtype_policy().name,
        "jit": bool(job.model.jit_compile),
        "tasks": list(job.model.heads),
        "parameters": job.model.count_params(),
        "backend": keras.backend.backend(),
        "versions": _versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _versions() -> dict[str, str]:
    versions = {"mtlkeras": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
