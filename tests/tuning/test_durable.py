"""A search that is killed between any two writes of its files goes on as if nothing had been."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras_tuner
import numpy as np
import pytest
import scipy.optimize

from mtlkeras._app.runs import search_tuner
from mtlkeras._app.runs.search_tuner import HyperbandTuner, default_values, make_oracle, make_tuner

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")

TRIALS = 6
GOAL = keras_tuner.Objective("val_loss", "min")


@pytest.fixture(autouse=True)
def quick_draws():
    """Lets a Bayesian oracle take the best of its 50 random points as it is, without refining each.

    How it draws is KerasTuner's; what is left out took nine tenths of the time.
    """
    refine = scipy.optimize.minimize

    def minimize(function, x0, **options):
        if function.__name__ == "_upper_confidence_bound":
            return scipy.optimize.OptimizeResult(fun=function(x0), x=x0)
        return refine(function, x0, **options)

    with pytest.MonkeyPatch.context() as patch:  # Its own, for tests undo theirs.
        patch.setattr(scipy.optimize, "minimize", minimize)
        yield


def space() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Choice("depth", [8, 14, 20], default=14)
    hp.Choice("l2", [1e-4, 2.5e-4], default=2.5e-4)
    return hp


def oracle(kind: str, folder: Path, trials: int | None = TRIALS):
    made = make_oracle(kind, space(), trials, epochs=4, objective=GOAL, seed=7)
    made._set_project_dir(str(folder.parent), folder.name)
    made.verbose = 0
    if kind == "bayesian":
        made.gpr.n_restarts_optimizer = 0
    return made


def loss(values: dict) -> float:
    return values["depth"] / 10 + abs(np.log(values["l2"] / 1e-4))


def drive(found, trained: list[str] | None = None) -> None:
    """Runs the trials that are left, as a tuner would."""
    while (trial := found.create_trial("tuner0")).status == "RUNNING":
        if trained is not None:
            trained.append(trial.trial_id)
        found.update_trial(trial.trial_id, {"val_loss": loss(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        found.end_trial(trial)


def statuses(folder: Path) -> dict[str, str]:
    files = [json.loads(path.read_text()) for path in folder.glob("trial_*/trial.json")]
    return {state["trial_id"]: state["status"] for state in files}


@pytest.fixture
def snapshots(tmp_path, monkeypatch):
    """Copies of the folder as a kill before and after each write would leave it."""
    folder, copies = tmp_path / "search", []
    write = search_tuner._write

    def copying(path, state):
        write(path, state)
        copies.append(tmp_path / f"copy_{len(copies)}")
        shutil.copytree(folder, copies[-1])

    monkeypatch.setattr(search_tuner, "_write", copying)
    return folder, copies


@pytest.mark.parametrize(
    "kind", ["hyperband", *(pytest.param(k, marks=pytest.mark.slow) for k in ("bayesian", "random", "grid"))]
)
def test_after_a_kill_at_any_write_no_ended_trial_is_run_again(kind, snapshots, monkeypatch):
    folder, copies = snapshots
    first = oracle(kind, folder)
    first.save()
    drive(first)
    expected = statuses(folder)
    assert set(expected.values()) == {"COMPLETED"}
    assert kind == "hyperband" or len(expected) == TRIALS
    monkeypatch.undo()
    for copy in copies[:: 3 if kind == "bayesian" else 1]:  # Its draws take longer.
        done = {trial for trial, status in statuses(copy).items() if status == "COMPLETED"}
        again, trained = oracle(kind, copy), []
        again.reload()
        drive(again, trained)
        assert statuses(copy) == expected, copy
        assert sorted([*done, *trained]) == sorted(expected), copy


def test_grid_goes_through_all_values_also_after_a_kill(snapshots, monkeypatch):
    folder, copies = snapshots
    first = oracle("grid", folder, trials=None)
    drive(first)
    monkeypatch.undo()
    for copy in copies[1:]:
        again = oracle("grid", copy, trials=None)
        again.reload()
        drive(again)
        drawn = [tuple(sorted(t.hyperparameters.values.items())) for t in again.trials.values()]
        assert len(drawn) == len(set(drawn)) == 6


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian", "hyperband"])
def test_the_first_trial_has_the_default_values(kind, tmp_path):
    trial = oracle(kind, tmp_path / "search").create_trial("tuner0")
    assert default_values(space()) == {"depth": 14, "l2": 2.5e-4}
    assert {k: v for k, v in trial.hyperparameters.values.items() if "tuner" not in k} == default_values(
        space()
    )


def test_default_values_are_those_that_are_active():
    hp = keras_tuner.HyperParameters()
    hp.Choice("trunk", ["a", "b"])
    for name in "ab":
        with hp.conditional_scope("trunk", [name]):
            hp.Int(f"{name}/depth", 1, 9, default=3)
    assert default_values(hp) == {"trunk": "a", "a/depth": 3}


def test_bayesian_search_tries_no_values_twice(tmp_path):
    found = oracle("bayesian", tmp_path / "search", trials=10)
    drive(found)
    drawn = [str(sorted(t.hyperparameters.values.items())) for t in found.trials.values()]
    assert len(drawn) == len(set(drawn)) == 6  # All there are.


def test_no_trial_begins_after_the_deadline(tmp_path):
    found = oracle("random", tmp_path / "search")
    found.deadline = 0.0
    assert found.create_trial("tuner0").status == "STOPPED"
    assert found.trials == {}


class Counted(keras_tuner.HyperModel):
    """A model that counts its trainings, and may break off in one of them."""

    def __init__(self, error=None):
        super().__init__()
        self.fits, self.error = 0, error

    def build(self, hp):
        import keras

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        self.fits += 1
        if self.error is not None:
            raise self.error
        return {"val_loss": float(self.fits)}


def tuner_of(folder: Path, hypermodel, trials=2):
    folder.parent.mkdir(exist_ok=True)
    made = make_oracle("random", space(), trials, epochs=1, objective=GOAL, seed=7)
    return make_tuner("random", made, hypermodel, folder)


def outcome_of(folder: Path, trial="0") -> dict:
    return json.loads((folder / f"trial_{trial}" / "outcome.json").read_text())


def test_a_training_that_ended_just_before_a_kill_is_not_repeated(tmp_path):
    folder = tmp_path / "search"
    first = tuner_of(folder, Counted())
    first.on_trial_end = lambda trial: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    assert outcome_of(folder)["metrics"] == {"val_loss": 1.0}
    hypermodel = Counted()
    tuner_of(folder, hypermodel).search(verbose=0)
    assert hypermodel.fits == 1  # The second trial's.
    assert statuses(folder) == {"0": "COMPLETED", "1": "COMPLETED"}


def test_a_trial_whose_process_dies_each_time_ends_as_failed(tmp_path):
    folder = tmp_path / "search"
    for _ in range(search_tuner.ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            tuner_of(folder, Counted(KeyboardInterrupt()), trials=1).search(verbose=0)
    hypermodel = Counted()
    tuner_of(folder, hypermodel, trials=1).search(verbose=0)
    assert hypermodel.fits == 0
    assert statuses(folder) == {"0": "FAILED"}
    assert outcome_of(folder)["failure"] == "its process died 4 times"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (keras_tuner.errors.FailedTrialError("too large"), "too large"),
    ],
)
def test_the_reason_of_a_failure_is_noted(error, reason, tmp_path):
    folder = tmp_path / "search"
    tuner_of(folder, Counted(error), trials=4).search(verbose=0)
    assert set(statuses(folder).values()) == {"FAILED"}
    assert len(statuses(folder)) == 4  # KerasTuner's own limit of 3 in a row would end the search.
    assert outcome_of(folder)["failure"] == reason


def test_hyperband_takes_the_oracle_that_it_is_given(tmp_path):
    made = make_oracle("hyperband", space(), 5, epochs=4, objective=GOAL, seed=7)
    tuner = make_tuner("hyperband", made, Counted(), tmp_path / "search")
    assert isinstance(tuner, HyperbandTuner)
    assert tuner.oracle is made
    assert (made.max_epochs, made.max_trials) == (4, 5)


def test_hyperband_goes_on_with_the_best_though_others_failed(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Int("depth", 1, 1000)
    made = make_oracle("hyperband", hp, None, epochs=9, objective=GOAL, seed=7)
    made._set_project_dir(str(tmp_path), "search")
    made.verbose = 0
    rounds: dict[tuple, list[int]] = {}
    while (trial := made.create_trial("tuner0")).status == "RUNNING":
        values = trial.hyperparameters.values
        rounds.setdefault((values["tuner/bracket"], values["tuner/round"]), []).append(values["depth"])
        trial.status = "FAILED" if values["depth"] % 2 else "COMPLETED"
        if trial.status == "COMPLETED":
            made.update_trial(trial.trial_id, {"val_loss": values["depth"]})
        made.end_trial(trial)
    first, second, last = (rounds[2, number] for number in range(3))
    usable = sorted(depth for depth in first if depth % 2 == 0)
    assert len(usable) < len(first)
    assert sorted(second) == usable[: len(second)] and last == usable[: len(last)]
    assert all(trial.score is None for trial in made.trials.values() if trial.status == "FAILED")
