"""From the balancer given to `compile` to what a model keeps of it."""

from __future__ import annotations

import warnings
from typing import Any

from mtlkeras.balancers.base import Balancer, GradientBalancer
from mtlkeras.balancers.fixed import Fixed
from mtlkeras.balancing import Balancing, LossBalancing
from mtlkeras.gradient_balancing import RepresentationBalancing
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.parameter_balancing import ParameterBalancing


def make_balancing(balancer: Any, model: Any) -> Balancing | None:
    """Returns what a model keeps of the balancer that `compile` was given.

    Raises:
        ValueError: If it is no balancer, names a task or layer that the model lacks, or looks at
            a representation that the model does not have.
    """
    forks = [layer for layer in model.layers if isinstance(layer, GradientFork)]
    for layer in forks:
        layer.combine_with(None)
    if balancer is None:
        return None
    heads = model.heads
    if not isinstance(_checked(balancer), GradientBalancer):
        return LossBalancing(balancer, heads)
    balancer.preferences(list(heads))
    if len(heads) == 1:
        warnings.warn(
            f"{balancer!r} has a single task to balance: its weight is 1, and training is as without.",
            stacklevel=4,
        )
        return LossBalancing(Fixed(), heads)
    if getattr(model.optimizer, "gradient_accumulation_steps", None):
        raise ValueError(
            f"balancer: {type(balancer).__name__} looks at each batch's gradients and does not go with "
            "gradient_accumulation_steps of the optimizer. Leave that out, and take larger batches."
        )
    if balancer.at == "parameters":
        parameters = ParameterBalancing(balancer, heads, model)
        if parameters.fork is not None:
            forks[0].combine_with(parameters.fork)
        return parameters
    if len(forks) != 1:
        raise ValueError(
            f"balancer: {type(balancer).__name__} with at='representation' needs one representation that "
            "all tasks read, which this model's sharing does not have. Use at='parameters'."
        )
    balancing = RepresentationBalancing(balancer, heads)
    forks[0].combine_with(balancing)
    return balancing


def _checked(balancer: Any) -> Balancer:
    """Returns what `compile` was given as a balancer.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(balancer, type) and issubclass(balancer, Balancer):
        raise ValueError(
            f"balancer: expected a balancer such as {balancer.__name__}(); received the class itself."
        )
    if not isinstance(balancer, Balancer):
        raise ValueError(
            f"balancer: expected one of mtlkeras.balancers, such as mtlkeras.balancers.DWA(); "
            f"received {balancer!r}."
        )
    return balancer
