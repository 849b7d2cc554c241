"""JAX: the training step of balancers by gradients of the parameters.

A plain loop of pullbacks: vectorised Jacobians take about twice as long.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
from jax import numpy as jnp

from mtlkeras._backends.jax.passes import Pass, places, state_scope


def parameter_step(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains on one batch; returns the logs and the state after it."""
    balancing = model.balancing
    if balancing.in_halves:
        return _paired(model, state, data)
    if balancing.balancer.every == 1:
        return _balanced(model, state, data)
    (place,) = places(model.non_trainable_variables, [balancing.state["step"]])
    return jax.lax.cond(
        balancing.due(state[1][place]),
        lambda *operands: _balanced(model, *operands),
        lambda *operands: _weighted(model, *operands),
        state,
        data,
    )


def _balanced(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    balancing = model.balancing
    chosen = places(model.trainable_variables, balancing.chosen)
    shared = places(model.trainable_variables, balancing.shared)
    step = Pass(model, state, data)
    looked = step
    if balancing.balancer.gram_fraction < 1.0:
        looked = Pass(model, state, _part(data, balancing.balancer.gram_fraction), logged=False)
    found = looked.task_gradients()
    with state_scope(model, state):
        weights, combined, after = balancing.weigh_and_combine(
            _stacked(found, chosen),
            looked.losses,
            looked.present,
            step.noise,
            looked.scale,
        )
    if not balancing.combines:
        return _finish(model, step, step.of_sum(weights), step.of_sum(jnp.ones_like(weights)), after)
    rest = step.of_sum(jnp.zeros_like(weights))
    gradients = [sum(parts) for parts in zip(rest, *found, strict=True)]
    of_shared = list(rest)
    for place, value in zip(shared, combined, strict=True):
        of_shared[place] = of_shared[place] + value
    return _finish(model, step, of_shared, gradients, after)


def _paired(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains with the gradients of the even and of the odd rows, each a batch of its own."""
    balancing = model.balancing
    chosen = places(model.trainable_variables, balancing.chosen)
    shared = places(model.trainable_variables, balancing.shared)
    # A single row stands in both halves.
    second = min(jax.tree.leaves(data)[0].shape[0] - 1, 1)
    first = Pass(model, state, _every_other(data, 0))
    logged = _log(model, first)[1]
    step = Pass(model, (state[0], first.non_trainable, state[2], logged), _every_other(data, second))
    labelled = jnp.maximum(first.counts + step.counts, 1.0)
    shares = [first.counts / labelled, step.counts / labelled]
    found = [half.task_gradients() for half in (first, step)]
    rests = [half.of_sum(jnp.zeros_like(half.present)) for half in (first, step)]
    with state_scope(model, state):
        _, combined, after = balancing.weigh_and_combine_pair(
            [_stacked(half, chosen) for half in found],
            [first.losses, step.losses],
            shares,
            jnp.maximum(first.present, step.present),
            step.scale,
        )
    of_own = [0.5 * (one + two) for one, two in zip(*rests, strict=True)]
    of_shared = list(of_own)
    for half, share in zip(found, shares, strict=True):
        for task, gradients in enumerate(half):
            of_own = [total + share[task] * part for total, part in zip(of_own, gradients, strict=True)]
    for place, value in zip(shared, combined, strict=True):
        of_shared[place] = of_shared[place] + value
    return _finish(model, step, of_shared, of_own, after)


def _weighted(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains with the weights of the steps before."""
    step = Pass(model, state, data)
    with state_scope(model, state):
        weights, after = model.balancing.kept(step.present)
    return _finish(model, step, step.of_sum(weights), step.of_sum(jnp.ones_like(weights)), after)


def _finish(
    model: Any, step: Pass, of_shared: list[Any], of_own: list[Any], after: Any
) -> tuple[dict[str, Any], Any]:
    """Updates by gradients of all variables, of which the first count for the shared ones."""
    shared = set(places(model.trainable_variables, model.balancing.shared))
    gradients = [of_shared[i] if i in shared else of_own[i] for i in range(len(of_own))]
    trainable, optimizer = model.optimizer.stateless_apply(step.state[2], gradients, step.state[0])
    non_trainable = list(step.non_trainable)
    for variable, value in after:
        non_trainable[places(model.non_trainable_variables, [variable])[0]] = value
    logs, metrics = _log(model, step)
    return logs, (trainable, non_trainable, optimizer, metrics)


def _log(model: Any, step: Pass) -> tuple[dict[str, Any], list[Any]]:
    """Returns the logs with a pass, and the metrics' variables after it."""
    pairs = list(zip(model.metrics_variables, step.metrics, strict=True))
    with keras.StatelessScope(state_mapping=pairs) as scope:
        logs = model.compute_metrics(step.x, step.y, step.outputs, step.sample_weight)
    return logs, [scope.get_current_value(variable) for variable, _ in pairs]


def _stacked(found: list[list[Any]], places: list[int]) -> list[Any]:
    """Returns for each variable the gradients of all tasks."""
    return [jnp.stack([gradients[i] for gradients in found]) for i in places]


def _every_other(data: Any, start: int) -> Any:
    return keras.tree.map_structure(lambda array: None if array is None else array[start::2], data)


def _part(data: Any, fraction: float) -> Any:
    def first(array: Any) -> Any:
        return None if array is None else array[: -int(-array.shape[0] * fraction // 1)]

    return keras.tree.map_structure(first, data)
