"""JAX: gradients of a model's joint loss in inference, outside of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np


def loss_gradients(model: Any, variables: list[Any]) -> Callable[..., list[np.ndarray]]:
    """Returns what gives the gradients of the sum of the tasks' weighted losses of a batch by some variables.

    It takes inputs, labels, sample weights, and what the loss is multiplied by. The pass is one of inference:
    no dropout, moving statistics. Regularisers do not count.

    Args:
        model: A compiled `MultiTaskModel`.
        variables: The variables, frozen ones too.
    """

    def loss(values: list[Any], x: Any, y: Any, sample_weight: Any, scale: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            outputs = model.outputs_for_loss(x, training=False)
            losses, _, _ = model.look_at_losses(y, outputs, sample_weight)
            loss = sum(losses)
            return loss * scale.astype(loss.dtype)

    gradients = jax.jit(jax.grad(loss))

    def on_batch(x: Any, y: Any, sample_weight: Any, scale: float) -> list[np.ndarray]:
        values = [variable.value for variable in variables]
        arrays = jax.tree.map(np.asarray, (x, y, sample_weight))
        return [np.asarray(g) for g in gradients(values, *arrays, np.float32(scale))]

    return on_batch
