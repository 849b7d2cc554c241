"""A model of the same graph, names and heads with other layers: made of its config, with its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from mtlkeras._keras_private import functional_within, has_graph, strategy_of

EditModel = Callable[[Any, dict[str, Any]], None]
"""Changes the config of a model in place: the model as it is, and its config."""

Values = Callable[[Any], list[np.ndarray]]
"""Returns the weights of a layer as the new one has them."""

Added = Mapping[int, Mapping[str, list[np.ndarray]]]
"""By id of the graph of a model, the weights of layers that it has not, by name."""


def rebuilt(
    model: Any,
    edit: EditModel,
    values: Values,
    added: Added | None = None,
    finish: Callable[[Any], None] | None = None,
    removed: Collection[int] = (),
) -> Any:
    """Returns a model with changed layers, compiled as the model is, its optimizer begun anew.

    Args:
        model: A `MultiTaskModel`.
        edit: Changes the config of the model, and of each model in it.
        values: Returns the weights of each layer that both have.
        added: The weights of those that the edits added.
        finish: Changes the new model, which has its weights and is not compiled.
        removed: The ids of layers that the edits took out.
    """
    config = model.get_config()
    _edit(model, config, edit)
    strategy = strategy_of(model)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        made = type(model).from_config(config)
        _fill(model, made, values, added or {}, removed)
        if finish is not None:
            finish(made)
        if model.compiled:
            made.compile_from_config(model.get_compile_config())
            made.skip_non_finite = model.skip_non_finite
    return made


def as_it_is(model: Any, config: dict[str, Any]) -> None:
    """Leaves the config of a model as it is."""


def own_values(layer: Any) -> list[np.ndarray]:
    """Returns the weights of a layer as they are."""
    return [np.asarray(weight.numpy()) for weight in layer.weights]


def _edit(model: Any, config: dict[str, Any], edit: EditModel) -> None:
    """Edits a config from the inside out, and takes the shapes out of it that layers were built with."""
    operations = {operation.name: operation for operation in functional_within(model).operations}
    config.pop("build_input_shape", None)
    for layer in config["layers"]:
        layer.pop("build_config", None)
        operation = operations.get(layer["config"]["name"])
        if operation is not None and has_graph(functional_within(operation)):
            _edit(operation, layer["config"], edit)
    edit(model, config)


def _fill(old: Any, new: Any, values: Values, added: Added, removed: Collection[int]) -> None:
    by_name = {operation.name: operation for operation in functional_within(new).operations}
    for operation in functional_within(old).operations:
        if id(operation) in removed:
            continue
        made = by_name[operation.name]
        if has_graph(functional_within(operation)):
            _fill(operation, made, values, added, removed)
        elif getattr(operation, "weights", None):
            made.set_weights(values(operation))
    for name, weights in added.get(id(functional_within(old)), {}).items():
        by_name[name].set_weights(weights)
