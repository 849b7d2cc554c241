"""Recipes: finding one by name or path, and checking that it is one."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._errors import near_match, unknown_name
from mtlkeras._model.only_tasks import only_tasks
from mtlkeras.data.keep_tasks import of_model
from mtlkeras.training import Phase

SPLITS = ("train", "valid", "test")

# What a recipe must define, and of which type.
_CONSTANTS: dict[str, type | tuple[type, ...]] = {
    "EPOCHS": int,
    "BATCH_SIZE": int,
    "MONITOR": (str, tuple),
    "SEED": int,
    "RESULT": str,
}
_FUNCTIONS = {"data": ("split", "batch_size", "data_dir"), "build": ("hp",)}
_OPTIONAL_FUNCTIONS: dict[str, tuple[str, ...]] = {"callbacks": (), "read": ("path", "data_dir")}


class Recipe:
    """A recipe that was found and fulfils the contract.

    A recipe is one Python file. It defines

    - `data(split, batch_size, data_dir)`: a batched, finite `tf.data.Dataset` of inputs and
      labels by task, for the splits "train", "valid" and "test"; with a fourth argument `hp` it is told
      the values that `build(hp)` gets;
    - `build(hp)`: a compiled `MultiTaskModel`; `hp` answers like a
      `keras_tuner.HyperParameters`, and `hp.Fixed("epochs", ...)` and
      `hp.Fixed("steps_per_epoch", ...)` are those of the run;
    - `EPOCHS`, `BATCH_SIZE`, `SEED`; `MONITOR`, the metric that tells the best epoch, such as
      `"val_digit_accuracy"`, or several of which the first counts that the model has; and `RESULT`, what to
      expect, in words.

    It may define `PHASES`, a list of `mtlkeras.training.Phase` with `EPOCHS` in all, the `data=` of which are
    further splits that `data` gives; `callbacks()`, more Keras callbacks; `ADAPT = True`, so that the mean
    and scale of regression tasks are taken from the training labels; `DATA`, where the data come
    from, in words; and `read(path, data_dir)`, the model's inputs from a file for `predict`.
    The first line of its docstring says what it is about.

    Args:
        path: The recipe's file.
        name: Its name; by default the file's.

    Raises:
        ValueError: If something is missing or of the wrong type; the message names it.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem
        self.module = _import(self.path, self.name)
        self._check()

    @property
    def about(self) -> str:
        """The first line of the recipe's docstring."""
        return first_line(self.module.__doc__)

    @property
    def adapt(self) -> bool:
        """Whether regression heads take mean and scale from the training labels."""
        return bool(getattr(self.module, "ADAPT", False))

    def constant(self, name: str, default: Any = None) -> Any:
        """Returns one of the recipe's constants."""
        return getattr(self.module, name, default)

    def function(self, name: str) -> Callable | None:
        """Returns one of the recipe's functions, or `None` if it has none of that name."""
        return getattr(self.module, name, None)

    @property
    def data_reads_settings(self) -> bool:
        """Whether the data are other ones with other settings."""
        return "hp" in inspect.signature(self.module.data).parameters

    def data(
        self, split: str, batch_size: int, data_dir: Any = None, model: Any = None, hp: Any = None
    ) -> Any:
        """Loads a split.

        Args:
            split: "train", "valid" or "test".
            batch_size: Number of examples in a batch.
            data_dir: Folder of the data.
            model: A model of the recipe's, which may have some of its tasks only.
            hp: The values that the model was built with; by default its own.

        Raises:
            FileNotFoundError: If its data are not there, with the places looked in.
        """
        try:
            told = {"hp": HyperParameters() if hp is None else hp} if self.data_reads_settings else {}
            dataset = self.module.data(split, batch_size, data_dir, **told)
        except (FileNotFoundError, ConnectionError) as error:
            raise FileNotFoundError(_no_data(self, data_dir, error)) from error
        return dataset if model is None else of_model(dataset, model)

    def build(self, hp: Any, tasks: Sequence[str] | None = None) -> Any:
        """Builds and compiles the model.

        Args:
            hp: Gives the hyperparameters.
            tasks: Some of the tasks, if the others are to be left out.

        Raises:
            ValueError: If a task is unknown, or the recipe gives something else than a compiled model, or
                monitors a metric that the model does not have.
        """
        with only_tasks(tasks):
            model = self.module.build(hp)
        if not hasattr(model, "heads"):
            raise ValueError(
                f"build(hp) of recipe '{self.name}' must return a MultiTaskModel; received {model!r}."
            )
        if not getattr(model, "compiled", False):
            raise ValueError(f"build(hp) of recipe '{self.name}' must compile the model.")
        self.monitor(model, tasks is not None)
        return model

    @property
    def monitors(self) -> tuple[str, ...]:
        """The metrics that tell the best epoch, of models that have all of the recipe's tasks the first."""
        monitor = self.module.MONITOR
        return (monitor,) if isinstance(monitor, str) else tuple(monitor)

    def monitor(self, model: Any, partial: bool = False) -> str:
        """Returns the metric that tells the best epoch of a model.

        Args:
            model: The model.
            partial: Whether it has some of the recipe's tasks only; then it is the loss where the model has
                none of those that `MONITOR` names.

        Raises:
            ValueError: If it has none of those that `MONITOR` names.
        """
        metrics = [f"val_{name}" for name in model.get_metrics_result()]
        for name in self.monitors:
            if name in metrics:
                return name
        if partial:
            return "val_loss"
        raise unknown_name("metric", self.monitors[-1], metrics, f"MONITOR of recipe '{self.name}'")

    def _check(self) -> None:
        for name, kind in _CONSTANTS.items():
            value = self._required(name)
            if not isinstance(value, kind) or isinstance(value, bool) or value == ():
                names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
                raise ValueError(
                    f"{name} of recipe '{self.name}' must be of type {names}; received {value!r}."
                )
        for name in ("EPOCHS", "BATCH_SIZE"):
            if self.constant(name) < 1:
                raise ValueError(
                    f"{name} of recipe '{self.name}' must be at least 1; received {self.constant(name)}."
                )
        self._check_phases()
        for name, arguments in _FUNCTIONS.items():
            self._check_function(name, self._required(name), arguments)
        for name, arguments in _OPTIONAL_FUNCTIONS.items():
            if self.function(name) is not None:
                self._check_function(name, self.function(name), arguments)

    def _check_phases(self) -> None:
        phases = self.constant("PHASES")
        if phases is None:
            return
        where = f"PHASES of recipe '{self.name}'"
        listed = isinstance(phases, (list, tuple)) and len(phases) > 0
        if not listed or not all(isinstance(phase, Phase) for phase in phases):
            raise ValueError(f"{where} must be a list of mtlkeras.training.Phase; received {phases!r}.")
        epochs = sum(phase.epochs for phase in phases)
        if epochs != self.constant("EPOCHS"):
            raise ValueError(f"{where} have {epochs} epochs in all, and EPOCHS is {self.constant('EPOCHS')}.")

    def _required(self, name: str) -> Any:
        if not hasattr(self.module, name):
            hint = near_match(name, [n for n in vars(self.module) if not n.startswith("_")])
            raise ValueError(f"Recipe '{self.name}' ({self.path}) does not define {name}.{hint}")
        return getattr(self.module, name)

    def _check_function(self, name: str, value: Any, arguments: tuple[str, ...]) -> None:
        try:
            signature = inspect.signature(value)
            told = {"hp": None} if name == "data" and "hp" in signature.parameters else {}
            signature.bind(*arguments, **told)
        except TypeError:
            raise ValueError(
                f"Recipe '{self.name}' must define a function {name}({', '.join(arguments)}); "
                f"received {value!r}."
            ) from None


def recipe_folder() -> Path | None:
    """Returns the folder of the recipes that come with mtlkeras, if they are there."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent
    for folder in (package / "recipes", checkout / "recipes"):
        # Beside an installed package lie other packages, so the checkout must look like one.
        if folder.is_dir() and (folder.parent == package or (checkout / "pyproject.toml").is_file()):
            return folder
    return None


def recipes() -> dict[str, Path]:
    """Returns the files of the recipes that come with mtlkeras, by name."""
    folder = recipe_folder()
    files = sorted(folder.glob("[!_]*.py")) if folder else []
    return {path.stem: path for path in files}


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe.

    Args:
        name: Name of a recipe that comes with mtlkeras, or a path to a Python file.

    Raises:
        ValueError: If there is no recipe of that name.
        FileNotFoundError: If the path leads nowhere.
    """
    if name.endswith(".py") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"No recipe file {path}.")
        return path
    if name not in recipes():
        raise unknown_name(
            "recipe", name, recipes(), "the recipes; another one is given by the path of its .py file"
        )
    return recipes()[name]


def describe_recipe(path: Path) -> str:
    """Returns the first line of a recipe's docstring without running the file."""
    return first_line(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _import(path: Path, name: str) -> ModuleType:
    """Runs a recipe's file as a module of its own, without leaving byte code beside it."""
    module = ModuleType(f"_mtlkeras_recipe_{name}")
    module.__file__ = str(path)
    # Dataclasses and Keras' registration look their module up there.
    sys.modules[module.__name__] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise ValueError(f"Recipe {path} is not valid Python: {error}.") from error
    except ImportError as error:
        raise ImportError(f"Recipe {path} cannot be loaded: {error}.") from error
    return module


def _no_data(recipe: Recipe, data_dir: Any, error: Exception) -> str:
    variable = os.environ.get("MTLKERAS_DATA")
    places = [
        f"--data-dir {data_dir}" if data_dir else "--data-dir (not given)",
        f"MTLKERAS_DATA {variable}" if variable else "MTLKERAS_DATA (not set)",
    ]
    about = recipe.constant("DATA")
    return (
        f"The data of recipe '{recipe.name}' are not there: {error} Looked in {' and '.join(places)}."
        f"{f' {about}' if about else ''}"
    )
