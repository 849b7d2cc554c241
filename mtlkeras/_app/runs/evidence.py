"""What a report tells of finished runs, searches and comparisons, read from their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.report.evidence import RunEvidence, gather
from mtlkeras._app.runs.baseline import TOGETHER, Compared
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.search_folder import TrialRow
from mtlkeras.analysis import PairedDifference


def evidence_of(run: RunFolder, data_dir: str | None = None) -> RunEvidence:
    """Looks at the model and data of a run or a search.

    Args:
        run: Its folder.
        data_dir: Folder of the data, if it is another than when it was trained.

    Raises:
        FileNotFoundError: If it has no history, no model or no data.
        ValueError: If a file of it is damaged.
    """
    config = run.config
    trials = _trials(run) if "fingerprint" in config else []
    history = {} if trials else _history(run)
    recipe = run.recipe()  # First, as it may define layers of the model.
    model = run.model()
    hp = HyperParameters(config.get("settings"))
    data = {
        split: recipe.data(split, config["batch_size"], data_dir or _data_dir(config), model, hp)
        for split in ("train", "test")
    }
    metrics = run.read_json("metrics.json") if run.file("metrics.json").exists() else {}
    return gather(name_of(run), config, history, metrics, model, data, run.model_file, trials)


def evidence_in_training(run: RunFolder, model: Any, data: Mapping[str, Any]) -> RunEvidence:
    """Looks at a run that was just trained.

    Args:
        run: Its folder.
        model: The model of its best epoch.
        data: Its data by split.
    """
    history, metrics = run.read_json("history.json"), run.read_json("metrics.json")
    return gather(name_of(run), run.config, history, metrics, model, data, run.model_file)


def name_of(run: RunFolder) -> str:
    """Returns what a run is called."""
    return run.path.resolve().name


def names_apart(runs: Sequence[RunFolder]) -> list[str]:
    """Returns what runs are called: those of one name with as much of their paths as tells them apart."""
    paths = [run.path.resolve().parts for run in runs]
    names = []
    for own in paths:
        others = [path for path in paths if path != own]
        length = next(n for n in range(1, len(own) + 1) if all(path[-n:] != own[-n:] for path in others))
        names.append(str(Path(*own[-length:])))
    return names


def _data_dir(config: Mapping[str, Any]) -> str | None:
    return config["data_dir"] if "data_dir" in config else config["options"]["data_dir"]


def _history(run: RunFolder) -> dict[str, list[float]]:
    if not run.file("history.json").exists():
        raise FileNotFoundError(
            f"{run} has no history: the run is {run.config['status']}, and no epoch was completed. To go on "
            f"with it: mtlkeras train {run} --resume"
        )
    return run.read_json("history.json")


def _trials(run: RunFolder) -> list[TrialRow]:
    if not run.file("trials.json").exists():
        raise FileNotFoundError(
            f"The search in {run} is {run.config['status']} and has no results yet: go on with it by "
            "mtlkeras tune --resume."
        )
    return [TrialRow(**trial) for trial in run.read_json("trials.json")]


def compared_in(folder: RunFolder) -> tuple[list[Compared], list[RunFolder]]:
    """Returns the tasks of a comparison, and its runs of all tasks.

    Args:
        folder: The folder of the comparison.

    Raises:
        FileNotFoundError: If the comparison is not finished.
    """
    if not folder.file("baseline.json").exists():
        raise FileNotFoundError(
            f"The comparison in {folder} is not finished. To go on with it: mtlkeras baseline "
            f"{folder.config['recipe']} --run-dir {folder}"
        )
    tasks = [
        Compared(**{**one, "difference": one["difference"] and PairedDifference(**one["difference"])})
        for one in folder.read_json("baseline.json")
    ]
    paths = sorted(folder.path.glob(f"{TOGETHER}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return tasks, [RunFolder(path) for path in paths]


def check_tasks(runs: Sequence[RunFolder]) -> None:
    """Raises `ValueError` unless runs have the same tasks."""
    first, *others = runs
    for other in others:
        one, two = first.config["tasks"], other.config["tasks"]
        if set(one) != set(two):
            raise ValueError(
                f"{first} has the tasks {', '.join(one)}, and {other} the tasks {', '.join(two)}: side by "
                "side only runs of the same tasks are shown. Give each its own report; mtlkeras baseline "
                "compares tasks together and alone."
            )


def check_data(runs: Sequence[tuple[RunFolder, RunEvidence]]) -> None:
    """Raises `ValueError` unless runs were tested on the same data.

    Args:
        runs: Their folders, and what is known of them.
    """
    (first_path, first), *others = runs
    for path, other in others:
        if None not in (first.digest, other.digest) and other.digest != first.digest:
            raise ValueError(
                f"{first_path} and {path} were not tested on the same data: the labels of their test splits "
                "differ, so that their scores cannot be compared. Give each its own report."
            )
