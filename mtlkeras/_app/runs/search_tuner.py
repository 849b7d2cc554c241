"""KerasTuner's tuners, made to survive a kill. Needs KerasTuner, so it is imported when used.

KerasTuner 1.4.8 writes its files in place, sends a trial that ended a moment before a kill to be
trained again, forgets where a grid search was, and tells a chief nothing of why a trial failed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from mtlkeras._app.runs.folder import RunFolder

ATTEMPTS = 4
"""How often a trial is begun at most: one that takes its process along must end some time."""

OUTCOME = "outcome.json"
"""File in the folder of a trial: how often it was begun, and what came of it."""


class _Durable:
    """An oracle whose first trial is the default, and whose files are whole at any moment."""

    deadline: float | None = None
    """When no more trials begin, on the clock of `time.monotonic`."""

    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        if self.deadline is not None and time.monotonic() > self.deadline:
            return {"status": TrialStatus.STOPPED, "values": None}
        drawn = super().populate_space(trial_id)  # type: ignore[misc]
        if not self.start_order and drawn["status"] == TrialStatus.RUNNING:
            drawn["values"] |= default_values(self.hyperparameters)
        return drawn

    def save(self: Any) -> None:
        _write(self._get_oracle_fname(), self.get_state())

    def _save_trial(self: Any, trial: Any) -> None:
        _write(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())

    def reload(self: Any) -> None:
        super().reload()  # type: ignore[misc]
        for trial_id in set(self.trials) - set(self.start_order):
            # Written just before the kill, and not yet in the oracle's own file: it is drawn anew.
            del self.trials[trial_id]
        for trial_id, trial in self.trials.items():
            if trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED):
                self._retry_queue = [queued for queued in self._retry_queue if queued != trial_id]
                self.end_order += [trial_id] if trial_id not in self.end_order else []


class RandomOracle(_Durable, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random."""


class GridOracle(_Durable, keras_tuner.oracles.GridSearchOracle):
    """Goes through all values; knows after a reload where it was."""

    def reload(self) -> None:
        super().reload()
        values = {trial_id: trial.hyperparameters.values for trial_id, trial in self.trials.items()}
        by_value = functools.cmp_to_key(lambda a, b: self._compare(values[a], values[b]))
        for trial_id in sorted(self.trials, key=by_value):
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(self.start_order)


class _NewValues(keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws at random where the surrogate proposes what has been tried, as it may in small spaces."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            # Of a kernel's length at its bound, as for a value that does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            drawn = super().populate_space(trial_id)
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        if drawn["status"] == TrialStatus.RUNNING and drawn["values"] in tried:
            return keras_tuner.oracles.RandomSearchOracle.populate_space(self, trial_id)
        return drawn


class BayesianOracle(_Durable, _NewValues):
    """Draws where a Gaussian process expects or does not know the best."""


class HyperbandOracle(_Durable, keras_tuner.oracles.HyperbandOracle):
    """Begins many trials with few epochs and goes on with the best.

    KerasTuner's own never ends a round in which enough trials failed, and so goes on with none.
    Here a failed trial is the worst of its round.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        worst = -math.inf if self.objective.direction == "max" else math.inf
        failed = [trial for trial in self.trials.values() if trial.status == TrialStatus.FAILED]
        for trial in failed:
            trial.status, trial.score = TrialStatus.COMPLETED, worst
        try:
            return super().populate_space(trial_id)
        finally:
            for trial in failed:
                trial.status, trial.score = TrialStatus.FAILED, None


def default_values(space: Any) -> dict[str, Any]:
    """Returns the default of every hyperparameter that is active when all have their defaults."""
    fresh = keras_tuner.HyperParameters()
    fresh.merge(space)
    return dict(fresh.values)


def make_oracle(kind: str, space: Any, trials: int | None, epochs: int, **common: Any) -> Any:
    """Makes the oracle of a search.

    Args:
        kind: `"random"`, `"grid"`, `"bayesian"` or `"hyperband"`.
        space: The space as `keras_tuner.HyperParameters`; `None` in a worker.
        trials: Most trials; `None` for no limit.
        epochs: Number of epochs of a whole training.
        **common: Arguments that all of KerasTuner's oracles take.
    """
    common |= {"hyperparameters": space, "max_consecutive_failed_trials": (trials or 10**6) + 1}
    if kind == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, **common)
        oracle.max_trials = trials
        return oracle
    if kind == "bayesian":
        # KerasTuner's own 3 per dimension would make small searches random ones.
        return BayesianOracle(max_trials=trials, num_initial_points=max(3, (trials or 0) // 4), **common)
    return {"random": RandomOracle, "grid": GridOracle}[kind](max_trials=trials, **common)


class _Searching:
    """A tuner that notes the outcome of each trial, and trains none twice."""

    on_change: Callable[[], None] = staticmethod(lambda: None)
    """Called when a trial begins or ends."""

    chief: Any = None
    """In a worker, the chief it answers to."""

    _idle = 0

    def _populate_initial_space(self) -> None:
        """The space is given, or the chief has it."""

    def save(self: Any) -> None:
        if self.chief is None:
            self.oracle.save()
        _write(self._get_tuner_fname(), self.get_state())

    def on_search_begin(self: Any) -> None:
        self.save()

    def pre_create_trial(self: Any) -> None:
        # While a chief has nothing to give, KerasTuner asks again without a pause.
        time.sleep(min(self._idle, 1) * 0.5)
        self._idle += 1

    def on_trial_begin(self: Any, trial: Any) -> None:
        self._idle = 0
        self.on_change()

    def on_trial_end(self: Any, trial: Any) -> None:
        super().on_trial_end(trial)  # type: ignore[misc]
        self.on_change()

    def run_trial(self: Any, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        folder = RunFolder(self.get_trial_dir(trial.trial_id))
        outcome: dict[str, Any] = (
            folder.read_json(OUTCOME) if folder.file(OUTCOME).exists() else {"attempts": 0}
        )
        if "metrics" in outcome:
            return outcome["metrics"]  # A kill came between the training and KerasTuner's own note.
        outcome |= {"attempts": outcome["attempts"] + 1, "tuner": self.tuner_id}
        folder.write_json(OUTCOME, outcome)
        try:
            if outcome["attempts"] > ATTEMPTS:
                raise keras_tuner.errors.FailedTrialError(f"its process died {ATTEMPTS} times")
            if self.chief is not None:
                kwargs["callbacks"] = [*kwargs.get("callbacks", ()), self.chief.callback()]
            (metrics,) = super().run_trial(trial, *args, **kwargs)  # type: ignore[misc]
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            folder.write_json(OUTCOME, {**outcome, "failure": _reason(error)})
            raise
        folder.write_json(OUTCOME, {**outcome, "metrics": metrics})
        return metrics


class SearchTuner(_Searching, keras_tuner.Tuner):
    """Trains the trials of a random, grid or Bayesian oracle."""


class HyperbandTuner(_Searching, keras_tuner.Hyperband):
    """Trains the trials of a Hyperband oracle."""

    def __init__(self, oracle: Any, **kwargs: Any) -> None:
        # Past Hyperband's own constructor, which would make its own oracle.
        keras_tuner.Tuner.__init__(self, oracle=oracle, **kwargs)


def make_tuner(kind: str, oracle: Any, hypermodel: Any, folder: Path, chief: Any = None) -> Any:
    """Makes the tuner of a search, which goes on where its files say.

    Args:
        kind: `"random"`, `"grid"`, `"bayesian"` or `"hyperband"`.
        oracle: Result of `make_oracle`.
        hypermodel: What it trains.
        folder: Folder of the trials; it is made if it is not there.
        chief: In a worker, the chief it answers to.
    """
    folder.mkdir(exist_ok=True)
    own = folder / f"{os.environ.get('KERASTUNER_TUNER_ID', 'tuner0')}.json"
    if chief is None and (folder / "oracle.json").exists() and not own.exists():
        _write(str(own), {})  # KerasTuner reloads by this file, whose name tells the former role.
    cls = HyperbandTuner if kind == "hyperband" else SearchTuner
    with contextlib.redirect_stdout(io.StringIO()):  # It prints what it reloads.
        tuner = cls(
            oracle=oracle, hypermodel=hypermodel, directory=str(folder.parent), project_name=folder.name
        )
    if chief is not None:
        tuner.chief = chief
        tuner.oracle.stub = chief.calls(tuner.oracle.stub)
    return tuner


def _write(path: str, state: Any) -> None:
    RunFolder(Path(path).parent).write_json(Path(path).name, state)


def _reason(error: Exception) -> str:
    text = str(error).strip().split("\n")[0][:300]
    return (
        text if isinstance(error, keras_tuner.errors.FailedTrialError) else f"{type(error).__name__}: {text}"
    )
