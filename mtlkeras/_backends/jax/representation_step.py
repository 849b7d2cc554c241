"""JAX: the training step of balancers by gradients of the representation."""

from __future__ import annotations

from typing import Any

import jax
import keras


def representation_step(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains on one batch; returns the logs and the state after it.

    A step as Keras' own, but for the balancer's state: the fork gives its new value as its gradient.
    """
    balancing = model.balancing
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    trainable, non_trainable, optimizer, metrics = state
    place = next(i for i, v in enumerate(model.non_trainable_variables) if v is balancing.state)

    def loss_and_updates(trainable: Any, remembered: Any) -> Any:
        with balancing.balancing(remembered):
            return model.compute_loss_and_updates(
                trainable,
                non_trainable,
                metrics,
                x,
                y,
                sample_weight,
                training=True,
                optimizer_variables=optimizer,
            )

    step = jax.grad(loss_and_updates, argnums=(0, 1), has_aux=True)
    (gradients, after), (_, outputs, changed, metrics) = step(trainable, non_trainable[place])
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    changed = [after if i == place else value for i, value in enumerate(changed)]
    with keras.StatelessScope(
        state_mapping=list(zip(model.metrics_variables, metrics, strict=True))
    ) as scope:
        logs = model.compute_metrics(x, y, outputs, sample_weight)
    metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
    return logs, (trainable, changed, optimizer, metrics)
