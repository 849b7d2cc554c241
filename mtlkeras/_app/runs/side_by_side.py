"""Trainings of a comparison in several processes."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.options import TrainOptions

_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def train_side_by_side(
    train: Callable[..., None],
    recipe: Recipe,
    options: TrainOptions,
    folder: RunFolder,
    trials: Sequence[Any],
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Trains in processes of their own, so many at a time, each with its share of the cores.

    Args:
        train: A function of a module, called in a process with the recipe's file and name, the options, the
            path of the folder and a trial.
        recipe: The recipe.
        options: How it is trained.
        folder: Of all runs.
        trials: What to train, with a `name` and a `seed`.
        workers: How many at a time.
        say: Takes a line of text for the user.

    Raises:
        ChildProcessError: If a process is killed.
        Exception: What a training raises; those that have begun are finished before.
    """
    quiet = dataclasses.replace(options, verbose=0)  # Lines of several would stand between each other.
    # Processes begin anew: a copy of this one would share TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with (
        _share_of_cores(workers),
        ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool,
    ):
        running = {
            pool.submit(train, recipe.path, recipe.name, quiet, folder.path, trial): trial for trial in trials
        }
        for future in as_completed(running):
            trial = running[future]
            try:
                future.result()
            except BrokenProcessPool as error:
                raise ChildProcessError(
                    f"A process that trained was killed, {trial.name} with seed {trial.seed} among those "
                    f"that had not ended: is there memory for {workers} workers?"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            say(f"{trial.name}, seed {trial.seed}: trained")


@contextlib.contextmanager
def _share_of_cores(workers: int) -> Iterator[None]:
    """Gives processes that begin within their share of the threads: all of all get in each other's way."""
    share = str(max(1, (os.cpu_count() or 1) // workers))
    new = {name: share for name in _THREADS if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
