"""Training a recipe into a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from mtlkeras import __version__
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import SPLITS, Recipe
from mtlkeras._app.report import write_report
from mtlkeras._app.runs import phases
from mtlkeras._app.runs.board import Board, Pictures
from mtlkeras._app.runs.folder import RunFolder, create_run
from mtlkeras._app.runs.keep import Clock, KeepRun
from mtlkeras._app.runs.options import TrainOptions, writes_files
from mtlkeras._files import part_of
from mtlkeras.analysis import GradientCosines
from mtlkeras.analysis.gradients import shared_parts
from mtlkeras.data.keep_tasks import of_model
from mtlkeras.training import Backup, StopOnNonFinite, measure_steps, strategy
from mtlkeras.training.fast import use_steps

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "numpy")


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
    devices: Any = None
    phases: tuple[Any, ...] = ()

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the scope of the strategy that the job trains with."""
        return self.devices.scope() if self.devices else contextlib.nullcontext()


def prepare(recipe: Recipe, options: TrainOptions) -> Job:
    """Loads the data and builds the model; nothing is written yet.

    Raises:
        ValueError: If a setting does not exist or does not fit, or the recipe has a fault.
        FileNotFoundError: If the data are not there.
    """
    # First of all, as several workers can only be joined before anything else is done.
    devices = strategy(options.strategy) if options.strategy else None
    seed = recipe.constant("SEED") if options.seed is None else options.seed
    own = phases.phases_of(recipe, options.epochs)
    if own and options.watch_gradients:
        raise ValueError(
            f"--watch-gradients: recipe '{recipe.name}' trains in phases, and in some of them what tasks "
            "share may be frozen and have no gradients. Leave it out."
        )
    epochs = options.epochs or recipe.constant("EPOCHS")
    batch_size = options.batch_size or recipe.constant("BATCH_SIZE")
    keras.utils.set_random_seed(seed)
    if options.dtype_policy is not None:
        keras.config.set_dtype_policy(options.dtype_policy)
    splits = (*SPLITS, *phases.names_of_data(own))
    given = {"epochs": epochs, "batch_size": batch_size, "data_dir": str(options.data_dir or "")}
    hp = HyperParameters(options.settings, given)
    data = {split: recipe.data(split, batch_size, options.data_dir, hp=hp) for split in splits}
    if options.check_inputs:
        from mtlkeras.data import check_finite

        data = {split: check_finite(dataset) for split, dataset in data.items()}
    hp.give(steps_per_epoch=count_batches(data["train"]))
    with devices.scope() if devices else contextlib.nullcontext():
        model = recipe.build(hp, options.tasks)
    hp.check()
    if options.watch_gradients:
        shared_parts(model)  # A model of which nothing is shared is refused before a folder is made.
    data = {split: of_model(dataset, model) for split, dataset in data.items()}
    model.skip_non_finite = options.on_nan == "skip"
    if options.jit is not None:
        model.jit_compile = options.jit
    if options.steps_per_execution is not None:
        model.steps_per_execution = options.steps_per_execution
    if recipe.adapt:
        model.adapt(data["train"])
    if own:
        phases.check(model, own)
    return Job(recipe, options, epochs, batch_size, seed, data, hp, model, devices, own)


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


def choose_fastest(job: Job, say: Callable[[str], None]) -> None:
    """Measures ways to run the training step and makes the run use the fastest."""
    say("measuring a few training steps")
    before = bool(job.model.jit_compile), job.model.steps_per_execution
    times = measure_steps(job.model, job.data["train"])
    best = times[0]
    plain = next(t for t in times if (t.jit_compile, t.steps_per_execution) == before)
    use_steps(job.model, best.jit_compile, best.steps_per_execution)
    job.options = dataclasses.replace(
        job.options, jit=best.jit_compile, steps_per_execution=best.steps_per_execution
    )
    say(
        f"chose jit_compile={best.jit_compile}, steps_per_execution={best.steps_per_execution}: "
        f"{best.milliseconds:.1f} ms a step, {plain.milliseconds / best.milliseconds:.2f} times as fast as "
        f"without a choice ({plain.milliseconds:.1f} ms)"
    )


def train(job: Job, say: Callable[[str], None], run: RunFolder | None = None) -> RunFolder:
    """Trains, evaluates the best epoch once on the test split, and writes all results.

    Args:
        job: What `prepare` gave.
        say: Takes a line of text for the user.
        run: A run that broke off, to go on with; `None` for a new one.

    Returns:
        The folder of the run. Its status tells how far it came if an exception ends it. A
        process that is not the first of several workers writes aside, and removes it.
    """
    with contextlib.ExitStack() as stack:
        if not writes_files(job.options):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
            run = _copied(run, folder) if run else None
            job.options = dataclasses.replace(job.options, run_dir=str(folder))
        if run is None:
            run = create_run(job.recipe, job.options.run_dir, job.options.overwrite, **_config(job))
        with run.claimed():
            _train_into(run, job, say)
    return run


def _copied(run: RunFolder, folder: Path) -> RunFolder:
    shutil.copytree(run.path, folder)
    return RunFolder(folder)


def _train_into(run: RunFolder, job: Job, say: Callable[[str], None]) -> None:
    say(f"training into {run}")
    clock = Clock(run.config.get("seconds", 0.0))
    try:
        with job.scope():
            _fit(job, run, clock, say)
            metrics = {split: _evaluate(job, split) for split in ("valid", "test")}
        run.write_json("metrics.json", metrics)
        if job.options.export and keras.backend.backend() == "tensorflow":
            say("writing the SavedModel and the report")
            # A SavedModel takes its name when it is whole, so one that is there is this run's.
            if not run.file("saved_model").exists():
                # The model of several devices is exported as that of one.
                model = run.model() if job.options.strategy else job.model
                model.export(str(run.file("saved_model")))
        run.write_config(seconds=clock.seconds())
        history = run.read_json("history.json")
        write_report(run.path, job.model, run.config, history, metrics, job.data["valid"])
        run.write_config(status="finished")
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError):  # The disk may be full, which is then the error to show.
            run.write_config(status=status, error=f"{type(error).__name__}: {error}", seconds=clock.seconds())
        error.add_note(_how_to_go_on(run))
        raise


def _how_to_go_on(run: RunFolder) -> str:
    done = f"the state after epoch {run.config.get('epochs_done')}" if run.state_file.exists() else "no epoch"
    return f"The partial run is in {run}, with {done}. To go on: mtlkeras train {run} --resume"


def _fit(job: Job, run: RunFolder, clock: Clock, say: Callable[[str], None]) -> None:
    own = job.recipe.function("callbacks")
    callbacks = [*_callbacks(job, run, clock, say), *(own() if own else [])]
    train = job.data["train"]
    if job.phases:
        given = {"seed": job.seed, "verbose": job.options.verbose}
        phases.fit(job.model, job.data, job.phases, run, callbacks, **given)
        return
    backup = Backup(run.state_file, callbacks, train, job.seed)
    if backup.epoch:
        say(f"going on after epoch {backup.epoch} of {job.epochs}")
    if not backup.stopped and backup.epoch < job.epochs:
        job.model.fit(
            train,
            validation_data=job.data["valid"],
            epochs=job.epochs,
            initial_epoch=backup.epoch,
            verbose=job.options.verbose,
            callbacks=[*callbacks, backup],
        )
    if not job.model.optimizer.built:  # Killed after the last epoch; the file has the optimizer's variables.
        job.model.optimizer.build(job.model.trainable_variables)
    job.model.load_weights(run.model_file)


def _callbacks(job: Job, run: RunFolder, clock: Clock, say: Callable[[str], None]) -> list[Any]:
    part = part_of(run.model_file)
    part.unlink(missing_ok=True)
    monitor = job.recipe.monitor(job.model, job.options.tasks is not None)
    # What it logs is kept by those behind it.
    watch = [GradientCosines(job.data["valid"])] if job.options.watch_gradients else []
    keep = KeepRun(run, part, clock)
    callbacks: list[Any] = [
        *watch,
        StopOnNonFinite(run.state_file),
        keras.callbacks.ModelCheckpoint(part, monitor=monitor, save_best_only=True),
        keep,
    ]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(Board(run.file("tensorboard"), _pictures(job, run, keep, say)))
    return callbacks


def _pictures(job: Job, run: RunFolder, keep: KeepRun, say: Callable[[str], None]) -> Pictures | None:
    """Returns the pictures that TensorBoard shows, if there are to be any."""
    if job.options.pictures == 0 or not writes_files(job.options):
        return None
    # Predictions of several devices would wait for all of them.
    data = None if job.options.strategy else job.data["valid"]
    return Pictures(run.file("tensorboard"), keep, data, job.options.pictures, say)


def _evaluate(job: Job, split: str) -> dict[str, float]:
    return job.model.evaluate(job.data[split], verbose=0, return_dict=True)


def _config(job: Job) -> dict[str, Any]:
    return {
        "about": job.recipe.about,
        "expected": job.recipe.constant("RESULT"),
        "monitor": job.recipe.monitor(job.model, job.options.tasks is not None),
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "seed": job.seed,
        "data_dir": job.options.to_config()["data_dir"],
        "settings": job.hp.values,
        "options": job.options.to_config(),
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
