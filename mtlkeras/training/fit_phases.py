"""Training in phases."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import Logs, PathLike
from mtlkeras.training._plan import Plan, Step
from mtlkeras.training.backup import Backup
from mtlkeras.training.phase import Phase, described


def fit_phases(
    model: Any,
    data: Any,
    phases: Sequence[Phase],
    validation_data: Any = None,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    backup: PathLike | None = None,
    seed: int | None = None,
    **arguments: Any,
) -> keras.callbacks.History:
    """Trains a model in phases: what trains, with what optimizer, balancer and data, for how long.

    All phases are checked before the first one trains. Layers that a phase does not train are frozen: their
    weights stay as they are bit by bit, and batch normalisation uses and keeps its statistics. Afterwards,
    and after an error, flags are as they were, and the model is compiled as it was, its optimizer begun anew.

    Args:
        model: A compiled `MultiTaskModel`.
        data: What to train on: a data set, or `(inputs, labels)` or `(inputs, labels, sample weights)`; or a
            dict of such by name, of which each phase names one in `data=`.
        phases: The phases.
        validation_data: As for `fit`, for all phases; or a dict by name.
        verbose: As for `fit`.
        callbacks: Callbacks of all phases. One that ends the training ends its phase.
        backup: A file that keeps the whole state after each epoch, as `Backup` does: called again with it in
            a later process, the training goes on in the phase and epoch where it broke off, and ends with
            the weights and logs of one that did not.
        seed: As for `Backup`, with `backup`.
        **arguments: Further arguments of `fit`, such as `batch_size`.

    Returns:
        One `keras.callbacks.History` of all epochs, which count on from phase to phase. `history["phase"]`
        has the name of each epoch's phase; what a phase does not log is NaN there.

    Raises:
        ValueError: If there are no phases; if a phase trains nothing, names what the model or data lack, or
            does not go with the model; or if the backup is of other phases or another model.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    data = np.ones((8, 4)), {"y": np.arange(8.0)}
    phases = [mtlkeras.training.Phase("all", epochs=2), mtlkeras.training.Phase("heads")]
    history = mtlkeras.training.fit_phases(model, data, phases, verbose=0)
    history.history["phase"]  # ['all', 'all', 'heads']
    ```
    """
    _check_arguments(arguments, callbacks)
    plan = Plan(model, phases)
    found = {step.phase.data: _data_of(step.phase, data, validation_data) for step in plan.steps}
    log, kept = _Log(), None if backup is None else _Kept(backup, plan)
    try:
        plan.check({name: given.get("validation_data") is not None for name, given in found.items()})
        for number, step in enumerate(plan.steps):
            if kept is not None and number < kept.step:
                continue
            _seed_step(seed, number)
            plan.begin(step)
            given = found[step.phase.data]
            log.phase = step.phase.title
            watching = [*_stopping(step), *_listed(callbacks), log]
            first = done = len(log.phases)
            if kept is not None:
                keeper = kept.keeper(number, first, watching, given["x"], seed)
                watching.append(keeper)
                first, done = keeper.notes["first"], keeper.epoch or first
            ended = kept is not None and keeper.stopped
            model.fit(
                **given,
                **arguments,
                epochs=done if ended else first + step.epochs,
                initial_epoch=done,
                verbose=verbose,
                callbacks=watching,
            )
    finally:
        plan.put_back()
    return log.joined(model)


class _Log(keras.callbacks.Callback):
    """Keeps the logs of all epochs. What is public here is part of a backup."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = ""
        self.phases: list[str] = []
        self.logs: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.phases.append(self.phase)
        self.logs.append({name: float(value) for name, value in (logs or {}).items()})

    def joined(self, model: Any) -> keras.callbacks.History:
        """Returns the history of all epochs, which is the model's from now on."""
        names = dict.fromkeys(name for logs in self.logs for name in logs)
        history = keras.callbacks.History()
        history.set_model(model)
        history.epoch = list(range(len(self.logs)))
        history.history = {name: [logs.get(name, float("nan")) for logs in self.logs] for name in names}
        history.history["phase"] = list(self.phases)
        model.history = history
        return history


class _Kept:
    """The file with the state of a training in phases.

    Args:
        path: The file.
        plan: The phases.

    Raises:
        ValueError: If the file is of other phases.
    """

    def __init__(self, path: PathLike, plan: Plan) -> None:
        self._path = path
        self._phases = [[described(phase), repr(phase)] for phase in plan.phases]
        notes = Backup(path).notes
        self.step = notes.get("step", 0)
        self._resumed = bool(notes)
        for mine, theirs in itertools.zip_longest(self._phases, notes.get("phases", self._phases)):
            if (mine or [None])[0] != (theirs or [None])[0]:
                there, here = (phase[1] if phase else "no further phase" for phase in (theirs, mine))
                raise ValueError(f"{path} holds the state of other phases: {there} there, {here} here.")

    def keeper(
        self, number: int, first: int, callbacks: Sequence[Any], data: Any, seed: int | None
    ) -> Backup:
        """Returns what keeps the state of a step, and takes it up if the file is of it."""
        dataset = data if hasattr(data, "element_spec") else None
        keeper = Backup(self._path, callbacks, dataset, seed)
        if self._resumed and number == self.step:
            return keeper
        keeper.begin_anew({"step": number, "first": first, "phases": self._phases})
        return keeper


def _seed_step(seed: int | None, number: int) -> None:
    """Has what a step begins with, such as a balancer's seed, depend on no epoch before it."""
    if seed is not None:
        drawn = np.random.SeedSequence([seed, 0, number]).generate_state(2)
        random.seed(int(drawn[0]))
        np.random.seed(drawn[1])


def _stopping(step: Step) -> list[keras.callbacks.Callback]:
    phase = step.phase
    if phase.patience is None or not step.is_last:
        return []
    stop = keras.callbacks.EarlyStopping(
        phase.monitor, patience=phase.patience, restore_best_weights=phase.restore_best
    )
    return [stop]


def _data_of(phase: Phase, data: Any, validation_data: Any) -> dict[str, Any]:
    """Returns what a phase trains on, as arguments of `fit`.

    Raises:
        ValueError: If it names none of the data.
    """
    where = f"data of phase '{phase.title}'"
    if not isinstance(data, Mapping):
        if phase.data is not None:
            raise ValueError(
                f"{where}: '{phase.data}' is a name, and fit_phases was given no dict of data by name."
            )
        given = data
    elif phase.data is None and len(data) == 1:
        given = next(iter(data.values()))
    elif phase.data not in data:
        raise unknown_name("data", phase.data, data, where)
    else:
        given = data[phase.data]
    validation = validation_data
    if isinstance(validation, Mapping):
        validation = validation.get(phase.data)
    if not isinstance(given, (tuple, list)):
        return {"x": given, "validation_data": validation}
    if not 2 <= len(given) <= 3:
        raise ValueError(
            f"{where}: expected a data set, (inputs, labels) or (inputs, labels, sample weights); received "
            f"{len(given)} things."
        )
    return {**dict(zip(("x", "y", "sample_weight"), given, strict=False)), "validation_data": validation}


def _check_arguments(arguments: Mapping[str, Any], callbacks: Any) -> None:
    for name in ("x", "y", "sample_weight", "epochs", "initial_epoch"):
        if name in arguments:
            what = "data" if name in ("x", "y", "sample_weight") else "the phases"
            raise ValueError(f"fit_phases: leave out {name}, which {what} give.")
    if any(isinstance(callback, Backup) for callback in _listed(callbacks)):
        raise ValueError("fit_phases: give the file of a Backup as backup=, and leave the callback out.")


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
