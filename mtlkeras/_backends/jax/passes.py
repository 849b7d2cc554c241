"""JAX: a forward pass, and the gradients of its losses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
        weights = (trainable, self.state[1], self.state[3])
        with forward(model, weights, self.x, training=True) as (outputs, scope):
            if self._logged:
                values, counts, present, rest = model.task_losses(self.y, outputs, self.sample_weight)
            else:
                values, counts, present = model.look_at_losses(self.y, outputs, self.sample_weight)
                rest = jnp.zeros(())
            noise = model.balancing.draw()
        changed = changed_in(model, scope)
        return jnp.stack([*values, rest]), (dict(outputs), counts, present, noise, *changed)

    def task_gradients(self) -> list[list[Any]]:
        """Returns the gradients of each task's loss."""
        count = self.losses.shape[0]
        return [self._pull(self.scale * jnp.eye(count, count + 1)[task])[0] for task in range(count)]

    def of_sum(self, weights: Any) -> list[Any]:
        """Returns the gradients of the weighted losses and the regularisers' together."""
        return self._pull(jnp.append(weights, 1.0) * self.scale)[0]


@contextlib.contextmanager
def forward(model: Any, weights: tuple, x: Any, training: bool) -> Iterator[tuple[dict[str, Any], Any]]:
    """Gives the outputs of a forward pass, in a scope where what they cost can be computed.

    Args:
        model: The model.
        weights: Values of the trainable variables, of those that are not, and of the metrics'.
        x: The inputs.
        training: As in Keras.

    Yields:
        The outputs by task with their scores, and the scope.
    """
    trainable, non_trainable, metrics = weights
    scores = {"with_scores": True} if model.gives_scores else {}
    found, non_trainable, losses = model.stateless_call(
        trainable, non_trainable, x, training=training, return_losses=True, **scores
    )
    if losses:
        use_losses(model, losses)
    pairs = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, non_trainable, strict=True),
        *zip(model.metrics_variables, metrics, strict=True),
    ]
    try:
        with keras.StatelessScope(state_mapping=pairs) as scope:
            yield model.outputs_of(found), scope
    finally:  # Else the next step would find what an error left.
        if losses:
            use_losses(model, [])


def changed_in(model: Any, scope: Any) -> list[list[Any]]:
    """Returns the values that variables have after a scope: those not trainable, and the metrics'."""
    parts = (model.non_trainable_variables, model.metrics_variables)
    return [[scope.get_current_value(variable) for variable in part] for part in parts]


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
