"""The phases of a recipe in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._files import written_aside
from mtlkeras._model.saving import load_model
from mtlkeras.training import Phase, fit_phases
from mtlkeras.training._plan import Plan

_TRAIN = "train"


def phases_of(recipe: Recipe, epochs: int | None) -> tuple[Phase, ...]:
    """Returns the phases of a recipe, each with the name of its data; none if it has none.

    Args:
        recipe: The recipe.
        epochs: Number of epochs that was asked for in place of the recipe's.

    Raises:
        ValueError: If epochs were asked for, of which phases have their own.
    """
    phases = recipe.constant("PHASES", ())
    if phases and epochs is not None:
        raise ValueError(f"Recipe '{recipe.name}' has PHASES with epochs of their own: leave out --epochs.")
    return tuple(phase.replace(data=phase.data or _TRAIN) for phase in phases)


def names_of_data(phases: Sequence[Phase]) -> list[str]:
    """Returns the names of data that phases have beside the training split."""
    return [name for name in dict.fromkeys(str(phase.data) for phase in phases) if name != _TRAIN]


def check(model: Any, phases: Sequence[Phase]) -> None:
    """Raises `ValueError` for phases that do not go with a model."""
    plan = Plan(model, phases)
    try:
        plan.check({phase.data: True for phase in phases})
    finally:
        plan.put_back()


def fit(
    model: Any,
    data: Mapping[str, Any],
    phases: Sequence[Phase],
    run: RunFolder,
    callbacks: list,
    **given: Any,
) -> None:
    """Trains in phases, or goes on with that; the run's model is then that of the best epoch of all.

    Args:
        model: The model.
        data: The data by split, and by the names that phases have for them.
        phases: The phases.
        run: The run.
        callbacks: Callbacks of all phases.
        **given: Further arguments of `fit_phases`.
    """
    sources = {name: data[name] for name in (_TRAIN, *names_of_data(phases))}
    history = fit_phases(
        model, sources, phases, data["valid"], callbacks=callbacks, backup=run.state_file, **given
    )
    run.write_config(phases=history.history["phase"])
    # The best epoch was saved with what its phase had frozen, and its optimizer.
    for layer in load_model(run.model_file, compile=False).layers:
        model.get_layer(layer.name).set_weights(layer.get_weights())
    with written_aside(run.model_file) as part:
        model.save(part)
