"""JAX: the training step of balancers by gradients of the representation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import keras

from mtlkeras._backends.jax.passes import loss_scale, places, state_scope


def representation_step(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains on one batch; returns the logs and the state after it.

    As Keras' own step, but cut at the model's fork: the gradients of the tasks' copies of what the trunk
    gave are weighed before they go on through the trunk.
    """
    balancing, optimizer = model.balancing, model.optimizer
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    trainable, non_trainable, optimizer_state, metrics = state

    passed: list[Any] = []

    # Both functions trace the whole model, and what is not used of either is never computed: of the first
    # what lies behind the fork, of the second what lies before it.
    def before(trainable: Any) -> Any:
        with balancing.fork.cutting(lambda task, place, tensor: tensor) as cut:
            _, changed = model.stateless_call(trainable, non_trainable, x, training=True)
        passed.append(cut)
        return cut.given, (changed, cut.copies)

    def behind(trainable: Any, copies: Any) -> Any:
        with balancing.fork.cutting(lambda task, place, _: copies[task][place]) as cut, balancing.asked():
            loss, (_, outputs, changed, after) = model.compute_loss_and_updates(
                trainable,
                non_trainable,
                metrics,
                x,
                y,
                sample_weight,
                training=True,
                optimizer_variables=optimizer_state,
            )
        return loss, (outputs, changed, after, cut.losses, cut.present, cut.noise)

    given, pull, (changed, copies) = jax.vjp(before, trainable, has_aux=True)
    found = jax.grad(behind, argnums=(0, 1), has_aux=True)(trainable, copies)
    (gradients, of_copies), (outputs, changed_behind, metrics, losses, present, noise) = found
    cut = dataclasses.replace(passed[0], given=given, losses=losses, present=present, noise=noise)
    with state_scope(model, state):
        seeds, after = balancing.weigh(cut, of_copies, loss_scale(model, state))
    gradients = jax.tree.map(jax.numpy.add, gradients, pull(seeds)[0])
    trainable, optimizer_state = optimizer.stateless_apply(optimizer_state, gradients, trainable)
    of_trunk = {id(v) for v in getattr(getattr(model, "trunk", None), "non_trainable_variables", ())}
    changed = [
        first if id(variable) in of_trunk else second
        for variable, first, second in zip(
            model.non_trainable_variables, changed, changed_behind, strict=True
        )
    ]
    for variable, value in after:
        changed[places(model.non_trainable_variables, [variable])[0]] = value
    with keras.StatelessScope(
        state_mapping=list(zip(model.metrics_variables, metrics, strict=True))
    ) as scope:
        logs = model.compute_metrics(x, y, outputs, sample_weight)
    metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
    return logs, (trainable, changed, optimizer_state, metrics)
