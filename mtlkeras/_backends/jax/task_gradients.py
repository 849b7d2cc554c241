"""JAX: the gradient of each task's loss, outside of a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from mtlkeras._backends.jax.passes import forward, places


def task_gradients(model: Any, variables: list[Any]) -> Callable[[Any, Any, Any], tuple[Any, Any, list[Any]]]:
    """Returns what computes the losses of tasks and their gradients; see the one of TensorFlow."""
    chosen = places(model.trainable_variables, variables)

    @jax.jit
    def compute(state: Any, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, list[Any]]:
        trainable, rest, metrics = state

        def losses_of(some: list[Any]) -> tuple[Any, Any]:
            weights = list(trainable)
            for place, value in zip(chosen, some, strict=True):
                weights[place] = value
            with forward(model, (weights, rest, metrics), x, training=False) as (outputs, _):
                losses, _, present = model.look_at_losses(y, outputs, sample_weight)
            return jnp.stack(losses), present

        losses, pull, present = jax.vjp(losses_of, [trainable[place] for place in chosen], has_aux=True)
        return losses, present, jax.vmap(pull)(jnp.eye(losses.shape[0]))[0]

    def of_values(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, list[Any]]:
        model.jax_state_sync()  # Within `fit` the values are not in the variables.
        parts = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
        state = [[variable.value for variable in part] for part in parts]
        return compute(state, x, y, sample_weight)

    return of_values
