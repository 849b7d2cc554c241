"""From the balancer given to `compile` to what a model keeps of it."""

from __future__ import annotations

import warnings
from typing import Any

from mtlkeras._balancing.at_parameters import ParameterBalancing
from mtlkeras._balancing.at_representation import RepresentationBalancing, WatchingBalancing
from mtlkeras._balancing.balancing import Balancing, LossBalancing
from mtlkeras._balancing.graph import forks, tasks_apart
from mtlkeras.balancers.base import Balancer, GradientBalancer
from mtlkeras.balancers.fixed import Fixed


def make_balancing(balancer: Any, model: Any, own_loss: bool = False) -> Balancing | None:
    """Returns what a model keeps of the balancer that `compile` was given.

    Args:
        balancer: What was given.
        model: The model.
        own_loss: Whether the model's class has a `compute_loss` of its own.

    Raises:
        ValueError: If it is no balancer, names a task or layer that the model lacks, looks at
            a representation that the model does not have, or would pass over the model's own loss.
    """
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
    if accumulates(model.optimizer):
        raise ValueError(
            f"balancer: {type(balancer).__name__} looks at each batch's gradients and does not go with "
            "gradient_accumulation_steps of the optimizer. Leave that out, and take larger batches."
        )
    if balancer.at == "parameters":
        if own_loss:
            raise ValueError(
                f"balancer: {type(balancer).__name__} with at='parameters' takes the gradient of each "
                f"task's loss and would pass over compute_loss of {type(model).__name__}. Give what it adds "
                "as loss={task: function}, or by add_loss in a layer; or use a balancer by losses or "
                "at='representation', where compute_loss counts if it calls super().compute_loss."
            )
        return ParameterBalancing(balancer, heads, model)
    if not tasks_apart(model):
        raise ValueError(
            f"balancer: {type(balancer).__name__} with at='representation' needs one representation that all "
            "tasks read, and behind it layers of one task each; this model's tasks meet elsewhere. Use "
            "at='parameters'."
        )
    return (RepresentationBalancing if balancer.weighs else WatchingBalancing)(balancer, heads)


def attach(balancing: Balancing | None, model: Any) -> None:
    """Puts what a model keeps of its balancer at the model's fork, if it has a place there."""
    at_fork = None if balancing is None else balancing.at_fork()
    for layer in forks(model):
        layer.combine_with(at_fork)


def accumulates(optimizer: Any) -> int | None:
    """Returns over how many batches an optimizer, or one within it, adds up gradients, if it does."""
    within = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", ())]
    steps = [getattr(optimizer, "gradient_accumulation_steps", None)]
    steps += [accumulates(inner) for inner in within if inner is not None]
    return max((count for count in steps if count), default=None)


def warn_of_accumulation(optimizer: Any) -> None:
    """Warns that accumulated gradients are those of one large batch only if all labels are there."""
    steps = accumulates(optimizer)
    if steps:
        warnings.warn(
            f"gradient_accumulation_steps={steps} takes the mean of {steps} batches' gradients, in each of "
            "which a task's loss is the mean over the labels that the batch has. Where labels are missing, "
            "sequences differ in length or batches in size, a label in a batch of few counts for more "
            "than in one batch of all. Take larger batches in place of the accumulation where that matters.",
            stacklevel=3,
        )


def check_optimizer_knows(optimizer: Any, balancing: Balancing | None, before: Balancing | None) -> None:
    """Fails where a balancer trains variables that an optimizer in use does not know, or no longer.

    Raises:
        ValueError: If the optimizer was built for other variables of a balancer.
    """
    if not getattr(optimizer, "built", False):
        return
    now, then = ([] if one is None else list(one.trained) for one in (balancing, before))
    if now or then:
        built = "was built for" if then else "was built without"
        raise ValueError(
            f"optimizer: the {type(optimizer).__name__} {built} what a balancer trains "
            f"({', '.join(now or then)}), and cannot go on with another balancer. Pass a new one, such as "
            "type(optimizer).from_config(optimizer.get_config())."
        )


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
