"""Searching the hyperparameters of a recipe, into a folder from which a search goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import keras

from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.search_chief import chief_of, local_environment
from mtlkeras._app.runs.search_folder import TRIALS, TrialRow, new_search, read_trials
from mtlkeras._app.runs.search_plan import Plan
from mtlkeras._app.runs.search_results import keep_results
from mtlkeras._app.runs.search_workers import Workers, serve

Watcher = Callable[[list[TrialRow]], None]
"""Takes the trials whenever one has begun or ended."""


def search(plan: Plan, say: Callable[[str], None], watch: Watcher) -> RunFolder:
    """Runs the trials that are left, then keeps the best model and writes the report.

    Args:
        plan: What `prepare_search` gave.
        say: Takes a line of text for the user.
        watch: Takes the trials whenever one has begun or ended.

    Raises:
        ValueError: If no trial was completed; the message names the first cause.
    """
    if plan.role == "worker":
        assert plan.run is not None
        return _work(plan, plan.run)
    run = plan.run or new_search(plan.recipe, plan.options.run_dir)
    with run.claimed():
        changes = {"options": plan.config["options"]} if plan.run else plan.config
        run.write_config(**changes, status="running")
        say(f"{'going on with' if plan.run else 'searching into'} {run}")
        start = time.monotonic()
        try:
            tuner = _run_trials(plan, run, say, watch)
            trials = read_trials(run)
            _check_any_completed(trials, plan.options.max_minutes)
            keep_results(run, plan.recipe, tuner, trials)
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            run.write_config(status=status, error=f"{type(error).__name__}: {error}")
            error.add_note(f"The search is in {run}; --resume goes on with it.")
            raise
        seconds = run.config.get("seconds", 0.0) + time.monotonic() - start
        run.write_config(status="finished", seconds=seconds, error=None)
    return run


def _run_trials(plan: Plan, run: RunFolder, say: Callable[[str], None], watch: Watcher) -> Any:
    def on_change() -> None:
        watch(read_trials(run))

    if plan.role is None and plan.options.workers == 1:
        tuner = _tuner(plan, run)
        tuner.on_change = on_change
        tuner.search(callbacks=_callbacks(run), verbose=0)
        return tuner
    workers = None
    if plan.role is None:
        os.environ.update(local_environment())
        arguments = ["tune", str(plan.recipe.path), "--run-dir", str(run), "--resume"]
        arguments += ["--chief-timeout", str(plan.options.chief_timeout)]
        workers = Workers(plan.options.workers, arguments, os.environ, run.file("workers"), say)
    try:
        tuner = _tuner(plan, run)
        serve(tuner, workers, on_change)
    finally:
        if workers is not None:
            workers.stop()
            for name in local_environment():
                del os.environ[name]
    return tuner


def _work(plan: Plan, run: RunFolder) -> RunFolder:
    """Trains, as a worker, the trials that the chief hands out."""
    tuner = _tuner(plan, run, chief_of(os.environ, plan.options.chief_timeout))
    tuner.search(callbacks=_callbacks(run), verbose=0)
    return run


def _tuner(plan: Plan, run: RunFolder, chief: Any = None) -> Any:
    from mtlkeras._app.runs.search_tuner import make_oracle, make_tuner

    options = plan.options
    assert options.tuner is not None and options.epochs is not None and options.seed is not None
    space = plan.space if chief is None else None
    # KerasTuner takes a seed of 0 for none.
    oracle = make_oracle(
        options.tuner, space, options.trials, options.epochs, objective=plan.goal, seed=options.seed + 1
    )
    if options.max_minutes is not None:
        oracle.deadline = time.monotonic() + 60 * options.max_minutes
    return make_tuner(options.tuner, oracle, plan.hypermodel, run.file(TRIALS), chief)


def _callbacks(run: RunFolder) -> list[Any]:
    if keras.backend.backend() != "tensorflow":
        return []
    # KerasTuner gives each trial a folder below this one, and adds the HParams log.
    return [keras.callbacks.TensorBoard(str(run.file("tensorboard")), write_graph=False)]


def _check_any_completed(trials: list[TrialRow], max_minutes: float | None) -> None:
    if any(trial.status == "COMPLETED" for trial in trials):
        return
    if not trials:
        raise ValueError(f"No trial began within --max-minutes {max_minutes:g}.")
    raise ValueError(
        f"All {len(trials)} trials failed. The first, trial {trials[0].trial}: {trials[0].failure}."
    )
