"""A recipe as a hypermodel. Needs KerasTuner, so it is imported when a search begins."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.train import count_batches
from mtlkeras._errors import unknown_name
from mtlkeras.data import set_epoch
from mtlkeras.data.keep_tasks import of_model
from mtlkeras.tuning.limits import Limits

BATCH_SIZE, EPOCHS = "batch_size", "epochs"
"""Names under which a recipe may have the batch size and the number of epochs searched."""


@dataclasses.dataclass(frozen=True)
class TrialOptions:
    """What every trial of a search has in common.

    Args:
        epochs: Number of epochs where the recipe does not have it searched.
        batch_size: Examples in a batch where the recipe does not have it searched.
        seed: Seed of the initial weights, dropout and the like, the same in every trial.
        objective: What is searched for: a name in the logs.
        direction: `"min"` or `"max"`.
        steps_per_epoch: Most training steps in an epoch; `None` for the whole training split.
        score: The score over several tasks that is logged, if it is the objective.
        limits: How large a model may be.
        settings: Values held fixed, by the full name of the hyperparameter.
        data_dir: Folder of the data.
    """

    epochs: int
    batch_size: int
    seed: int
    objective: str
    direction: str
    steps_per_epoch: int | None = None
    score: Any = None
    limits: Limits = Limits()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data_dir: str | None = None


_EPOCHS_OF_ROUND = "tuner/epochs"  # As KerasTuner calls those that Hyperband gives a trial.


class RunHyperParameters:
    """A `keras_tuner.HyperParameters` of which the run holds some values.

    Args:
        hp: The search's own.
        settings: Values by full name, as text or as they are; they become fixed.
        given: Functions by name whose values `Fixed` gives, as they are not part of the space.
    """

    def __init__(self, hp: Any, settings: Mapping[str, Any], given: Mapping[str, Callable[[], Any]]) -> None:
        self._hp, self._settings, self._given = hp, settings, given
        self._scopes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hp, name)

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        try:
            with self._hp.name_scope(name):
                yield
        finally:
            self._scopes.pop()

    def Choice(self, *args: Any, **kwargs: Any) -> Any:
        return self._drawn("Choice", *args, **kwargs)

    def Int(self, *args: Any, **kwargs: Any) -> Any:
        return self._drawn("Int", *args, **kwargs)

    def Float(self, *args: Any, **kwargs: Any) -> Any:
        return self._drawn("Float", *args, **kwargs)

    def Boolean(self, *args: Any, **kwargs: Any) -> Any:
        return self._drawn("Boolean", *args, **kwargs)

    def Fixed(self, name: str, value: Any, **kwargs: Any) -> Any:
        full = self._full(name)
        if full not in self._given:
            return self._drawn("Fixed", name, value, **kwargs)
        if full in self._settings:
            HyperParameters({full: self._settings[full]}, fixed={full: value}).check()  # Raises: it is given.
        return self._given[full]()

    def _full(self, name: str) -> str:
        return "/".join([*self._scopes, name])

    def _drawn(self, kind: str, name: str, *args: Any, **kwargs: Any) -> Any:
        full = self._full(name)
        if full not in self._settings:
            return getattr(self._hp, kind)(name, *args, **kwargs)
        held = HyperParameters({full: self._settings[full]})
        return self._hp.Fixed(name, getattr(held, kind)(full, *args, **kwargs))


class RecipeHyperModel(keras_tuner.HyperModel):
    """Builds a recipe's models and trains each as a run of the recipe would.

    `build(hp)` of the recipe may ask for `batch_size` and `epochs` at the top level, which are
    then searched; `hp.Fixed("epochs", ...)` and `hp.Fixed("steps_per_epoch", ...)` give those of
    the trial. Data are loaded anew in each trial, so that a trial's result does not depend on
    which process ran it, nor on what ran before.

    Args:
        recipe: The recipe.
        options: What every trial has in common.
    """

    def __init__(self, recipe: Recipe, options: TrialOptions) -> None:
        super().__init__(recipe.name)
        self._recipe, self._options = recipe, options
        self._steps: dict[tuple, int] = {}
        self.values: Mapping[str, Any] = {}
        """The values of the model that was built last."""

    def build(self, hp: Any) -> Any:
        self.values = hp.values
        keras.utils.set_random_seed(self._options.seed)
        given: dict[str, Callable[[], Any]] = {
            EPOCHS: lambda: self._epochs(hp),
            "steps_per_epoch": lambda: self._steps_of(hp),
            "data_dir": lambda: self._options.data_dir or "",
        }
        model = self._recipe.build(RunHyperParameters(hp, self._options.settings, given))
        # So that weights that are read into it, which have the optimizer's beside them, fit.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self,
        hp: Any,
        model: Any,
        *args: Any,
        callbacks: Any = (),
        epochs: int | None = None,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Trains a model; returns the logs of its best epoch.

        Raises:
            keras_tuner.errors.FailedTrialError: If the model is over a limit, or no epoch has a
                number as the objective.
        """
        self._options.limits.check(model)
        start = time.monotonic()
        batch_size = self._batch_size(hp)
        train, valid = (of_model(self._data(split, batch_size, hp), model) for split in ("train", "valid"))
        if self._recipe.adapt:
            model.adapt(train)
        if initial_epoch:
            # Hyperband goes on from the best epoch so far, but with as many as are left.
            model.optimizer.iterations.assign(initial_epoch * self._steps_of(hp))
        set_epoch(train, initial_epoch)
        history = model.fit(
            train,
            validation_data=valid,
            epochs=epochs or self._epochs(hp),
            initial_epoch=initial_epoch,
            callbacks=[*self._own_callbacks(), *callbacks],
            verbose=0,
        )
        logs = self._best(history.history, initial_epoch)
        return {**logs, "parameters": model.count_params(), "seconds": time.monotonic() - start}

    def _own_callbacks(self) -> list[Any]:
        own = self._recipe.function("callbacks")
        score = [self._options.score.callback()] if self._options.score else []
        return [*score, *(own() if own else [])]

    def _best(self, history: Mapping[str, list[float]], initial_epoch: int) -> dict[str, float]:
        objective = self._options.objective
        values = np.asarray(history[objective], "float64")
        if not np.isfinite(values).any():
            raise keras_tuner.errors.FailedTrialError(f"{objective} is {values[0]} in every epoch")
        usable = np.where(np.isfinite(values), values, np.nan)
        best = int(np.nanargmax(usable) if self._options.direction == "max" else np.nanargmin(usable))
        logs = {name: float(column[best]) for name, column in history.items()}
        return {**logs, "best_epoch": initial_epoch + best + 1, "epochs": initial_epoch + len(values)}

    def _epochs(self, hp: Any) -> int:
        # Hyperband compares trials after a few epochs: their schedules end there too, since a rate
        # that is still high says little of what a model becomes.
        return hp.values.get(_EPOCHS_OF_ROUND) or hp.values.get(EPOCHS, self._options.epochs)

    def _batch_size(self, hp: Any) -> int:
        return hp.values.get(BATCH_SIZE, self._options.batch_size)

    def _steps_of(self, hp: Any) -> int:
        batch_size = self._batch_size(hp)
        values = tuple(sorted(hp.values.items())) if self._recipe.data_reads_settings else ()
        key = (batch_size, values)
        if key not in self._steps:
            self._steps[key] = count_batches(self._data("train", batch_size, hp))
        return self._steps[key]

    def _data(self, split: str, batch_size: int, hp: Any) -> Any:
        values = HyperParameters({**hp.values, **self._options.settings})
        dataset = self._recipe.data(split, batch_size, self._options.data_dir, hp=values)
        steps = self._options.steps_per_epoch
        # The order is new in each epoch, so that its beginning is another part of the split.
        return dataset.take(steps) if split == "train" and steps else dataset


def explore(hypermodel: RecipeHyperModel, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Builds the models of a space once each, to get to know it; nothing is written.

    Args:
        hypermodel: The hypermodel.
        settings: Values held fixed, by full name.

    Returns:
        The space as `keras_tuner.HyperParameters`, and the default model.

    Raises:
        ValueError: If a model of the space does not build, a setting does not exist, or there is
            nothing to search.
    """
    model = _built(hypermodel, "with its default values", lambda: hypermodel.build(_fresh()))
    # Not asked of the tuner, which in a worker would ask the chief.
    oracle = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("loss", "min"), 1)
    with tempfile.TemporaryDirectory() as folder:
        _built(
            hypermodel,
            "with other values",
            lambda: keras_tuner.Tuner(oracle, hypermodel, directory=folder),
        )
    space = oracle.get_space()
    names = {hp.name: None for hp in space.space}
    for name in settings:
        if name not in names:
            raise unknown_name("setting", name, names, "--set")
    if all(isinstance(hp, _FIXED) for hp in space.space):
        raise ValueError("There is nothing to search: build(hp) of the recipe asks hp for no value.")
    # With defaults as values, not with those of the last model that was built.
    fresh = _fresh()
    fresh.merge(space)
    return fresh, model


_FIXED = keras_tuner.engine.hyperparameters.Fixed


def _fresh() -> Any:
    return keras_tuner.HyperParameters()


def _built(hypermodel: RecipeHyperModel, how: str, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except (OSError, ImportError):
        raise  # The data or a package are not there, which is not the space's fault.
    except Exception as error:
        values = ", ".join(f"{name}={value}" for name, value in hypermodel.values.items())
        raise ValueError(
            f"The search space of recipe '{hypermodel.name}' does not build {how}"
            f"{f' ({values})' if values else ''}: {type(error).__name__}: {error} "
            "Nothing was written. Mend build(hp), or hold a value fixed with --set."
        ) from error
