"""The folder of a search: what is in it, and what makes it the folder of this search and no other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.folder import RUNS, RunFolder

TRIALS = "trials"
"""Folder of the trials within that of a search."""

# What a search is asked for, in words, by the names of the fields.
_WORDS = {
    "recipe": "recipe file",
    "tuner": "tuner",
    "objective": "objective",
    "epochs": "number of epochs",
    "batch_size": "batch size",
    "seed": "seed",
    "settings": "set of fixed values (--set)",
    "max_parameters": "limit of weights",
    "max_flops": "limit of operations",
    "space": "search space",
}


@dataclasses.dataclass(frozen=True)
class TrialRow:
    """One trial as its files tell it.

    Attributes:
        trial: Its number as text, which is also that of its folder.
        status: `"RUNNING"`, `"COMPLETED"` or `"FAILED"`.
        values: The values of its hyperparameters by name.
        score: The objective at its best epoch, `None` while it is not completed.
        metrics: The logs of its best epoch, with `parameters`, `seconds`, `epochs`, `best_epoch`.
        failure: Why it failed.
        tuner: Which process ran it last.
        attempts: How often it was begun.
    """

    trial: str
    status: str
    values: dict[str, Any]
    score: float | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    failure: str | None = None
    tuner: str | None = None
    attempts: int = 0


def new_search(recipe: Recipe, path: str | None) -> RunFolder:
    """Makes the folder of a new search and puts the recipe into it.

    Raises:
        FileExistsError: If something is in the folder.
    """
    run = RunFolder(_next_free(f"{recipe.name}-search") if path is None else _empty(Path(path)))
    run.file("recipe.py").write_bytes(recipe.path.read_bytes())
    return run


def check_search_dir(path: str | None) -> None:
    """Raises `FileExistsError` if a new search may not be written to a folder."""
    if (
        path is not None
        and Path(path).exists()
        and not (Path(path).is_dir() and not any(Path(path).iterdir()))
    ):
        raise FileExistsError(
            f"{path} is not an empty folder. Go on with the search in it by --resume, or choose another "
            "--run-dir."
        )


def _empty(path: Path) -> Path:
    check_search_dir(str(path))
    path.mkdir(parents=True, exist_ok=True)
    return path


def _next_free(name: str) -> Path:
    number = 1
    while True:
        path = Path(RUNS) / f"{name}-{number}"
        try:
            path.mkdir(parents=True)  # Making the folder claims the number, also beside another process.
        except FileExistsError:
            number += 1
        else:
            return path


def find_search(recipe: Recipe, path: str | None) -> RunFolder:
    """Returns the search to go on with: the one in a folder, or the last one of the recipe in `runs`.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path is None:
        found = [p.parent for p in Path(RUNS).glob(f"{recipe.name}-search-*/config.json")]
        if not found:
            raise FileNotFoundError(f"No search of recipe '{recipe.name}' in {RUNS}/ to go on with.")
        return RunFolder(max(found, key=lambda p: int(p.name.rpartition("-")[2])))
    run = RunFolder(path)
    if not run.file("config.json").is_file() or "fingerprint" not in run.config:
        raise FileNotFoundError(f"{path} holds no search to go on with; start one without --resume.")
    return run


def fingerprint(recipe: Recipe, space: Any, **asked: Any) -> dict[str, Any]:
    """Returns all that trials must have in common to be compared, as plain values."""
    space = space.get_config()["space"]
    digest = hashlib.sha256(recipe.path.read_bytes()).hexdigest()
    return json.loads(json.dumps({"recipe": digest, **asked, "space": space}))


def check_fingerprint(run: RunFolder, now: Mapping[str, Any]) -> None:
    """Raises `ValueError` if a search was begun for something else than what is asked for now."""
    before = run.config["fingerprint"]
    changed = [name for name in now if before.get(name) != now[name]]
    if not changed:
        return
    name = changed[0]
    copy = f" (its recipe is in {run.file('recipe.py')})" if name == "recipe" else ""
    told = "" if name in ("recipe", "space") else f": {_told(before.get(name))} then, {_told(now[name])} now"
    raise ValueError(
        f"{run} was begun with another {_WORDS[name]}{told}. Its trials cannot be compared with new ones. "
        f"Go on as it was begun{copy}, or "
        "start a new search without --resume."
    )


def _told(value: Any) -> str:
    return value["name"] if isinstance(value, dict) and "name" in value else str(value)


def read_trials(run: RunFolder) -> list[TrialRow]:
    """Returns the trials of a search in the order of their numbers."""
    folders = sorted(run.file(TRIALS).glob("trial_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    return [_read_trial(RunFolder(folder)) for folder in folders if (folder / "trial.json").exists()]


def _read_trial(folder: RunFolder) -> TrialRow:
    trial = folder.read_json("trial.json")
    outcome = folder.read_json("outcome.json") if folder.file("outcome.json").exists() else {}
    values = {k: v for k, v in trial["hyperparameters"]["values"].items() if not k.startswith("tuner/")}
    failure = outcome.get("failure", "no reason was noted") if trial["status"] == "FAILED" else None
    return TrialRow(
        trial=trial["trial_id"],
        status=trial["status"],
        values=values,
        score=trial["score"],
        metrics=outcome.get("metrics", {}),
        failure=failure,
        tuner=outcome.get("tuner"),
        attempts=outcome.get("attempts", 0),
    )
