"""What a search is asked for, checked before anything is written."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs import search_chief
from mtlkeras._app.runs.folder import RunFolder, find_run
from mtlkeras._app.runs.search_folder import (
    check_fingerprint,
    check_search_dir,
    find_search,
    fingerprint,
)
from mtlkeras._errors import unknown_name
from mtlkeras.tuning import multi_task_objective, objective
from mtlkeras.tuning._directions import main_metrics
from mtlkeras.tuning._packages import keras_tuner
from mtlkeras.tuning.limits import Limits
from mtlkeras.tuning.score import SCORES

TUNERS = ("bayesian", "random", "grid", "hyperband")
TRIALS_BY_DEFAULT = 20


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """What a search takes from its caller; `None` means the recipe's, or that of a search resumed.

    Args:
        tuner: One of `TUNERS`; the first unless told.
        trials: Most trials; 20 unless told, for Hyperband as many as it needs.
        max_minutes: After how many minutes of this call no more trials begin.
        max_parameters: Most weights of a model that is trained.
        max_flops: Most floating-point operations per example of a model that is trained.
        objective: A name in the logs, `"delta"`, `"rank"` or `"weighted"`; the recipe's `MONITOR`
            unless told.
        reference: For `"delta"` and `"rank"`: folders of runs, and numbers as `(name, value)`.
        weights: For `"weighted"`: the weights by task or name in the logs.
        epochs: Epochs of a trial; for Hyperband the most.
        steps_per_epoch: Most training steps in an epoch of a trial; all of the split unless told.
        batch_size: Examples in a batch.
        seed: Seed of the search, and of the initial weights in every trial.
        settings: Hyperparameters held at a value, by name.
        run_dir: Folder of the search; `None` for the next `runs/<recipe>-search-N`.
        resume: Whether to go on with a search.
        workers: Number of worker processes on this machine; 1 for none beside this one.
        data_dir: Folder of the data.
        chief_timeout: Seconds that a worker waits for its chief.
    """

    tuner: str | None = None
    trials: int | None = None
    max_minutes: float | None = None
    max_parameters: int | None = None
    max_flops: int | None = None
    objective: str | None = None
    reference: tuple[Any, ...] = ()
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    epochs: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run_dir: str | None = None
    resume: bool = False
    workers: int = 1
    data_dir: str | None = None
    chief_timeout: float = 120.0


# What a resumed search takes from its own beginning where nothing is asked for.
_KEPT = (
    *("tuner", "trials", "max_parameters", "max_flops", "objective", "reference", "weights"),
    *("epochs", "steps_per_epoch", "batch_size", "seed", "settings", "data_dir"),
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search made ready, with nothing written yet."""

    recipe: Recipe
    options: SearchOptions
    role: str | None
    run: RunFolder | None
    goal: Any
    score: Any
    hypermodel: Any
    space: Any
    config: dict[str, Any]


def prepare_search(recipe: Recipe, options: SearchOptions) -> Plan:
    """Checks all that can be checked before the first trial; nothing is written.

    Raises:
        ValueError: If something asked for does not exist or fit, the space does not build, or
            the search to go on with is another one.
        FileNotFoundError: If the data, or the search to go on with, are not there.
        FileExistsError: If the folder of a new search is taken.
        ConnectionError: In a worker whose chief does not answer.
        ImportError: If a package is missing.
    """
    keras_tuner()
    role = search_chief.role(os.environ)
    if role == "worker":
        search_chief.chief_of(os.environ, options.chief_timeout).wait()
    run = find_search(recipe, options.run_dir) if options.resume or role == "worker" else None
    if run is None:
        check_search_dir(options.run_dir)
    options = _completed(recipe, options, run.config["options"] if run else {})
    if options.tuner not in TUNERS:
        raise unknown_name("tuner", options.tuner, TUNERS, "--tuner")
    plan = _explored(recipe, options, role, run)
    if run is not None:
        check_fingerprint(run, plan.config["fingerprint"])
    return plan


def _completed(recipe: Recipe, options: SearchOptions, before: Mapping[str, Any]) -> SearchOptions:
    """Fills in what was not asked for: from the search's beginning, else from the recipe."""
    asked: dict[str, Any] = {name: getattr(options, name) or before.get(name) for name in _KEPT}
    if options.seed is not None:
        asked["seed"] = options.seed  # 0 is a seed.
    defaults = {
        "tuner": TUNERS[0],
        "objective": recipe.monitors[0],
        "epochs": recipe.constant("EPOCHS"),
        "batch_size": recipe.constant("BATCH_SIZE"),
    }
    asked |= {name: asked[name] or value for name, value in defaults.items()}
    if asked["trials"] is None and asked["tuner"] != "hyperband":
        asked["trials"] = TRIALS_BY_DEFAULT
    if asked["seed"] is None:
        asked["seed"] = recipe.constant("SEED")
    asked |= {"settings": dict(asked["settings"] or {}), "weights": dict(asked["weights"] or {})}
    asked["reference"] = tuple(map(_pair_or_name, asked["reference"] or ()))
    return dataclasses.replace(options, **asked)


def _pair_or_name(entry: Any) -> Any:
    return entry if isinstance(entry, str) else tuple(entry)


def _explored(recipe: Recipe, options: SearchOptions, role: str | None, run: RunFolder | None) -> Plan:
    from mtlkeras._app.runs.search_model import RecipeHyperModel, TrialOptions, explore

    common: dict[str, Any] = {
        "epochs": options.epochs,
        "steps_per_epoch": options.steps_per_epoch,
        "batch_size": options.batch_size,
        "seed": options.seed,
    }
    limits = Limits(options.max_parameters, options.max_flops)
    trial_options = TrialOptions(
        **common,
        objective="",
        direction="min",
        limits=limits,
        settings=options.settings,
        data_dir=options.data_dir,
    )
    space, model = explore(RecipeHyperModel(recipe, trial_options), options.settings)
    goal, score = _goal(model, options)
    limits.excess(model)  # A backend that cannot count operations says so now.
    trial_options = dataclasses.replace(
        trial_options, objective=goal.name, direction=goal.direction, score=score
    )
    asked = {"name": goal.name, "direction": goal.direction, **({"values": score.values} if score else {})}
    prints = fingerprint(
        recipe,
        space,
        tuner=options.tuner,
        objective=asked,
        **common,
        settings=options.settings,
        max_parameters=options.max_parameters,
        max_flops=options.max_flops,
    )
    config = {**_config(recipe, options, model, goal), "fingerprint": prints}
    return Plan(
        recipe, options, role, run, goal, score, RecipeHyperModel(recipe, trial_options), space, config
    )


def _goal(model: Any, options: SearchOptions) -> tuple[Any, Any]:
    """Returns the KerasTuner objective, and the score behind it if it is one over all tasks."""
    if options.objective not in SCORES:
        for name, given in (("--reference", options.reference), ("--weight", options.weights)):
            if given:
                raise ValueError(f"{name} goes with --objective {' or '.join(SCORES)}.")
        return objective(model, options.objective), None
    by = options.objective
    score = multi_task_objective(
        model,
        by,
        reference=_references(options.reference, list(main_metrics(model).values()), by),
        weights=options.weights,
    )
    return score.objective, score


def _references(given: tuple[Any, ...], names: list[str], by: str) -> dict[str, Any]:
    """Returns the reference values by name: those of runs on their validation split, and numbers."""
    values: dict[str, list[float]] = {}
    for entry in given:
        found = [entry] if not isinstance(entry, str) else _results(entry, names)
        for name, value in found:
            values.setdefault(name, []).append(value)
    return values if by == "rank" else {name: column[-1] for name, column in values.items()}


def _results(name: str, metrics: list[str]) -> list[tuple[str, float]]:
    run = find_run(name)
    if not run.file("metrics.json").is_file():
        raise FileNotFoundError(f"{run} has no results to refer to: it is {run.config['status']}.")
    results = run.read_json("metrics.json")["valid"]
    for metric in metrics:
        if metric.removeprefix("val_") not in results:
            raise unknown_name(
                "metric", metric, (f"val_{result}" for result in results), f"the results of {run}"
            )
    return [(metric, results[metric.removeprefix("val_")]) for metric in metrics]


def _config(recipe: Recipe, options: SearchOptions, model: Any, goal: Any) -> dict[str, Any]:
    kept = {name: getattr(options, name) for name in _KEPT}
    data_dir = None if options.data_dir is None else str(Path(options.data_dir).resolve())
    return {
        "recipe": recipe.name,
        "recipe_path": str(recipe.path),
        "about": recipe.about,
        "expected": recipe.constant("RESULT"),
        "monitor": goal.name,
        "direction": goal.direction,
        "options": {**kept, "data_dir": data_dir},
        "batch_size": options.batch_size,
        "data_dir": data_dir,
        "tasks": list(model.heads),
        "task_metrics": {o.name: o.direction for o in objective(model)},
        "backend": keras.backend.backend(),
        "versions": {name: importlib.metadata.version(name) for name in ("keras", "keras-tuner")},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
