"""Learning rates of their own for some variables of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtlkeras._keras_private import decay_in_groups, variable_key


def rates_by_stage(stages: Sequence[Sequence[Any]], decay: float) -> dict[int, float]:
    """Returns what the rates of variables are multiplied by, by id; of others by 1.

    Args:
        stages: The layers of each stage, from shallow to deep.
        decay: Factor from a stage to the one before, and from the heads to the last stage.
    """
    rates = {}
    for place, layers in enumerate(stages):
        rate = decay ** (len(stages) - place)
        rates.update({id(variable): rate for layer in layers for variable in layer.trainable_variables})
    return rates


def use_rates(optimizer: Any, variables: Sequence[Any], rates: Mapping[int, float]) -> None:
    """Has an optimizer take its steps, and its decoupled weight decay, at a rate of each variable's own.

    Steps are scaled by the learning rate of the update, so that moments are as they would be. It holds for
    the object: a copy of its config has one rate.

    Args:
        optimizer: An optimizer that is built.
        variables: What it trains.
        rates: Factors by the variables' ids; 1 for others.
    """
    for inner in innermost(optimizer):
        by_key = {variable_key(inner, v): rates[id(v)] for v in variables if id(v) in rates}
        inner.update_step = _scaled(inner, inner.update_step, by_key)
        decay_in_groups(inner, by_key)


def innermost(optimizer: Any) -> list[Any]:
    """Returns the optimizers that take the steps, within those that scale losses or hand on."""
    if hasattr(optimizer, "inner_optimizer"):
        return innermost(optimizer.inner_optimizer)
    within = getattr(optimizer, "optimizers", None)
    return [found for one in within for found in innermost(one)] if within else [optimizer]


def _scaled(optimizer: Any, update: Callable[..., Any], rates: Mapping[Any, float]) -> Callable[..., Any]:
    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> Any:
        rate = rates.get(variable_key(optimizer, variable), 1.0)
        return update(gradient, variable, learning_rate * rate)

    return update_step
