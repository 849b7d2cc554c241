"""A model of the same graph, names and heads with other layers: made of its config, with its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mtlkeras._keras_private import functional_within, has_graph, strategy_of

EditModel = Callable[[Any, dict[str, Any]], None]
"""Changes the config of a model in place: the model as it is, and its config."""

Values = Callable[[Any], list[np.ndarray]]
"""Returns the weights of a layer as the new one has them."""


def rebuilt(model: Any, edit: EditModel, values: Values) -> Any:
    """Returns a model with changed layers, compiled as the model is, its optimizer begun anew.

    Args:
        model: A `MultiTaskModel`.
        edit: Changes the config of the model, and of each model in it.
        values: Returns the weights of each layer that both have.
    """
    config = model.get_config()
    _edit(model, config, edit)
    strategy = strategy_of(model)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        made = type(model).from_config(config)
        _fill(model, made, values)
        if model.compiled:
            made.compile_from_config(model.get_compile_config())
            made.skip_non_finite = model.skip_non_finite
    return made


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


def _fill(old: Any, new: Any, values: Values) -> None:
    by_name = {operation.name: operation for operation in functional_within(new).operations}
    for operation in functional_within(old).operations:
        made = by_name[operation.name]
        if has_graph(functional_within(operation)):
            _fill(operation, made, values)
        elif getattr(operation, "weights", None):
            made.set_weights(values(operation))
