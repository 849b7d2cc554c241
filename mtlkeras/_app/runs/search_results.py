"""What a search leaves: the best model, the table of trials, the report."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, recipes
from mtlkeras._app.report.search import write_search_report
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.search_folder import TrialRow
from mtlkeras._app.runs.search_model import BATCH_SIZE, EPOCHS
from mtlkeras._files import written_aside


def keep_results(run: RunFolder, recipe: Recipe, tuner: Any, trials: Sequence[TrialRow]) -> None:
    """Writes the best model and its results on valid and test, the table of trials, the report.

    Args:
        run: Folder of the search.
        recipe: The recipe.
        tuner: The tuner that has the trials.
        trials: The same trials, of which at least one is completed.
    """
    config = run.config
    best = best_trial(trials, config["direction"])
    (trial,) = (t for t in tuner.oracle.get_best_trials(len(trials)) if t.trial_id == best.trial)
    model = tuner.load_model(trial)
    with written_aside(run.model_file) as part:
        model.save(part)
    batch_size = best.values.get(BATCH_SIZE, config["batch_size"])
    values = {**best.values, **config["options"]["settings"]}
    metrics = {
        split: model.evaluate(
            recipe.data(split, batch_size, config["options"]["data_dir"], model, HyperParameters(values)),
            verbose=0,
            return_dict=True,
        )
        for split in ("valid", "test")
    }
    run.write_json("metrics.json", metrics)
    run.write_json("trials.json", [vars(trial) for trial in trials])
    run.write_text("trials.csv", trials_csv(trials))
    command = rebuild_command(config, best, _searched(trial.hyperparameters))
    run.write_config(best_trial=best.trial, settings=values, command=command, parameters=model.count_params())
    write_search_report(run.path, run.config, trials, metrics)


def best_trial(trials: Sequence[TrialRow], direction: str) -> TrialRow:
    """Returns the completed trial with the best score, of equal ones the first."""
    done = [trial for trial in trials if trial.status == "COMPLETED"]
    sign = 1 if direction == "max" else -1
    return max(done, key=lambda trial: sign * (trial.score or 0.0))


def trials_csv(trials: Sequence[TrialRow]) -> str:
    """Returns the table of trials: a column for each hyperparameter and each metric."""
    values = list(dict.fromkeys(name for trial in trials for name in trial.values))
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "status", "score", *values, *metrics, "failure"])
    for trial in trials:
        row = [trial.trial, trial.status, trial.score, *map(trial.values.get, values)]
        table.writerow([*row, *map(trial.metrics.get, metrics), trial.failure])
    return text.getvalue()


def _searched(space: Any) -> list[str]:
    """Returns the names of the values that were not of the recipe's own `hp.Fixed`."""
    names = {hp.name: type(hp).__name__ for hp in space.space}
    return [name for name, kind in names.items() if kind != "Fixed"]


def rebuild_command(config: Mapping[str, Any], best: TrialRow, searched: Sequence[str]) -> str:
    """Returns the command that trains the best trial's model from the start.

    Args:
        config: The search's configuration.
        best: The trial.
        searched: Names of the values that were searched.
    """
    options = config["options"]
    is_named = str(recipes().get(config["recipe"])) == config["recipe_path"]
    recipe = config["recipe"] if is_named else config["recipe_path"]
    values = {**{name: best.values[name] for name in searched if name in best.values}, **options["settings"]}
    epochs, batch_size = (values.pop(name, options[name]) for name in (EPOCHS, BATCH_SIZE))
    words = ["mtlkeras", "train", recipe, "--epochs", epochs, "--batch-size", batch_size]
    words += ["--seed", options["seed"]]
    for name, value in values.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join(map(str, words))
