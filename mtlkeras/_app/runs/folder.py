"""The folder of a run: what is in it, and how it stays readable when a run breaks off."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtlkeras._app.recipe import Recipe
from mtlkeras._errors import near_match
from mtlkeras._files import part_of, write_text
from mtlkeras._model.saving import load_model

FORMAT = 1
RUNS = "runs"
"""Name of the folder, below the current one, that holds the runs."""


_FIRST_FILES = {"recipe.py", part_of(Path("config.json")).name}


class RunFolder:
    """The files of one run.

    `config.json` says what was run and how far it came (`"status"`: running, finished,
    interrupted or failed). It is there from the start; every file is written whole or not
    at all.

    Args:
        path: The folder.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def file(self, name: str) -> Path:
        """Returns the path of a file of the run."""
        return self.path / name

    @property
    def model_file(self) -> Path:
        """The model as of the best epoch."""
        return self.file("model.keras")

    @property
    def state_file(self) -> Path:
        """The whole state of training after the last epoch that was completed."""
        return self.file("state.npz")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keeps other processes from training into the folder; ends with the process at the latest.

        Raises:
            BlockingIOError: If another process is training into it.
        """
        import fcntl

        # The recipe is written once, so the lock stays on the same file.
        with self.file("recipe.py").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f"Another process is training into {self.path}.") from None
            yield

    @property
    def config(self) -> dict[str, Any]:
        """What was run.

        Raises:
            ValueError: If the file is damaged or of a later version.
        """
        config = self.read_json("config.json")
        if config.get("format") != FORMAT:
            raise ValueError(
                f"{self.path} is a run of format {config.get('format')}; this version reads format {FORMAT}."
            )
        return config

    def write_config(self, **changes: Any) -> None:
        """Adds or changes entries of `config.json`."""
        before = self.config if self.file("config.json").exists() else {"format": FORMAT}
        self.write_json("config.json", {**before, **changes})

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file in one step."""
        self.write_text(name, json.dumps(value, indent=2, default=_plain) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file in one step."""
        write_text(self.file(name), text)

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is damaged.
        """
        try:
            return json.loads(self.file(name).read_text(encoding="utf-8"))
        except ValueError as error:  # Of JSON, or of UTF-8.
            raise ValueError(f"{self.file(name)} is damaged: {error}.") from error

    def recipe(self) -> Recipe:
        """Returns the recipe as it was when the run began.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it is no recipe.
        """
        if not self.file("recipe.py").is_file():
            raise FileNotFoundError(
                f"{self.path} has lost its recipe.py, without which its data are not known. Copy the recipe "
                f"'{self.config['recipe']}' there."
            )
        return Recipe(self.file("recipe.py"), self.config["recipe"])

    def model(self) -> Any:
        """Loads the model; the recipe must have been loaded before, as it may define layers.

        Raises:
            FileNotFoundError: If the run has no model yet.
            ValueError: If the file is damaged.
        """
        if not self.model_file.is_file():
            raise FileNotFoundError(
                f"{self.path} has no model: the run is {self.config['status']} and no epoch was completed."
            )
        return load_model(self.model_file)


def _plain(value: Any) -> Any:
    """Turns NumPy numbers and paths into what JSON can hold."""
    return value.item() if hasattr(value, "item") else str(value)


def create_run(
    recipe: Recipe, path: Any = None, overwrite: bool = False, kind: str = "", **config: Any
) -> RunFolder:
    """Makes the folder of a new run and puts the recipe into it.

    Args:
        recipe: The recipe.
        path: The folder; `None` for the first free one of `runs/<recipe><kind>-1`, `-2`, ...
        overwrite: Whether a run that is there is replaced.
        kind: What stands behind the recipe's name in that of the folder.
        **config: What is run, for `config.json`.

    Raises:
        FileExistsError: If the folder has something in it that may not be replaced.
    """
    run = RunFolder(_next_free(f"{recipe.name}{kind}") if path is None else _cleared(Path(path), overwrite))
    run.file("recipe.py").write_bytes(recipe.path.read_bytes())
    # Last, and in one step: a folder with this file is a run.
    run.write_config(recipe=recipe.name, status="running", **config)
    return run


def check_run_dir(path: Any, overwrite: bool) -> None:
    """Raises `FileExistsError` if a new run may not be written to a folder."""
    path = Path(path)
    if not path.exists() or _is_beginning(path):
        return
    if not is_run(path):
        raise FileExistsError(f"{path} exists and is not the folder of a run. Choose another --run-dir.")
    if not overwrite:
        raise FileExistsError(
            f"{path} holds a run. Choose another --run-dir, go on with it by --resume, "
            "or replace it by --overwrite."
        )


def _is_beginning(path: Path) -> bool:
    """Whether a folder is empty, or what is left of making a run that was killed at once."""
    return path.is_dir() and {file.name for file in path.iterdir()} <= _FIRST_FILES


def is_run(path: Path) -> bool:
    """Whether a folder holds a run."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and {"format", "recipe", "status"} <= set(config)


def _cleared(path: Path, overwrite: bool) -> Path:
    check_run_dir(path, overwrite)
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def _next_free(name: str) -> Path:
    Path(RUNS).mkdir(exist_ok=True)
    number = 1
    while True:
        path = Path(RUNS) / f"{name}-{number}"
        try:
            # Making the folder claims the number, also beside another process.
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def last_run(recipe: str) -> RunFolder:
    """Returns the latest run of a recipe in `runs`.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = [path for path in Path(RUNS).glob(f"{recipe}-*") if is_run(path)]
    runs = [
        run
        for run in map(RunFolder, found)
        # The folders of a search and of a comparison are those of runs, too, but cannot be trained on.
        if run.config["recipe"] == recipe and not {"fingerprint", "baseline"} & set(run.config)
    ]
    if not runs:
        raise FileNotFoundError(f"There is no run of {recipe} in {RUNS}/ to go on with.")
    return max(runs, key=lambda run: run.config.get("started", ""))


def find_run(name: str) -> RunFolder:
    """Returns a run that is there.

    Args:
        name: Its folder, or the folder's name within `runs`.

    Raises:
        FileNotFoundError: If there is none, with the nearest one in `runs`.
    """
    for path in (Path(name), Path(RUNS) / name):
        if is_run(path):
            return _single(RunFolder(path))
    if Path(name).is_dir():
        raise FileNotFoundError(f"{name} is not the folder of a run: it has no config.json of one.")
    names = sorted(path.parent.name for path in Path(RUNS).glob("*/config.json"))
    raise FileNotFoundError(
        f"No run '{name}'.{near_match(Path(name).name, names)} Runs in {RUNS}/: {', '.join(names) or 'none'}."
    )


def _single(run: RunFolder) -> RunFolder:
    if "baseline" in run.config:
        runs = sorted(path.parent.name for path in run.path.glob("*/config.json"))
        raise FileNotFoundError(
            f"{run} is a comparison of runs. Name one of them: {', '.join(runs) or 'none yet'}."
        )
    return run
