"""JAX: a forward pass, and the gradients of its losses."""

from __future__ import annotations

from typing import Any

import jax
import keras
from jax import numpy as jnp

from mtlkeras._keras_private import use_losses


class Pass:
    """A forward pass, and the gradients of its losses by all trainable variables."""

    def __init__(self, model: Any, state: Any, data: Any, logged: bool = True) -> None:
        self.model, self.state = model, state
        self.x, self.y, self.sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self._logged = logged
        self.scale = loss_scale(model, state)
        terms, self._pull, aux = jax.vjp(self._terms, state[0], has_aux=True)
        self.losses = terms[:-1]
        self.outputs, self.counts, self.present, self.noise, self.non_trainable, self.metrics = aux

    def _terms(self, trainable: list[Any]) -> tuple[Any, Any]:
        """Returns the tasks' losses and last the regularisers', and all else that a step needs."""
        model = self.model
        outputs, non_trainable, losses = model.stateless_call(
            trainable, self.state[1], self.x, training=True, return_losses=True
        )
        if losses:
            use_losses(model, losses)
        pairs = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
            *zip(model.metrics_variables, self.state[3], strict=True),
        ]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            if self._logged:
                values, counts, present, rest = model.task_losses(self.y, outputs, self.sample_weight)
            else:
                values, counts, present = model.look_at_losses(self.y, outputs, self.sample_weight)
                rest = jnp.zeros(())
            noise = model.balancing.draw()
        if losses:
            use_losses(model, [])
        changed = [
            [scope.get_current_value(v) for v in part]
            for part in (model.non_trainable_variables, model.metrics_variables)
        ]
        return jnp.stack([*values, rest]), (outputs, counts, present, noise, *changed)

    def task_gradients(self) -> list[list[Any]]:
        """Returns the gradients of each task's loss."""
        count = self.losses.shape[0]
        return [self._pull(self.scale * jnp.eye(count, count + 1)[task])[0] for task in range(count)]

    def of_sum(self, weights: Any) -> list[Any]:
        """Returns the gradients of the weighted losses and the regularisers' together."""
        return self._pull(jnp.append(weights, 1.0) * self.scale)[0]


def loss_scale(model: Any, state: Any) -> Any:
    """Returns what the optimizer multiplies losses by in a step."""
    with keras.StatelessScope(state_mapping=list(zip(model.optimizer.variables, state[2], strict=True))):
        return jnp.asarray(model.optimizer.scale_loss(1.0), "float32")


def state_scope(model: Any, state: Any) -> Any:
    """Returns a scope in which the model's variables have the values of a step's state."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    return keras.StatelessScope(state_mapping=list(zip(variables, [*state[0], *state[1]], strict=True)))


def places(variables: list[Any], some: list[Any]) -> list[int]:
    """Returns the places of some variables in a list of all."""
    positions = {id(variable): i for i, variable in enumerate(variables)}
    return [positions[id(variable)] for variable in some]
