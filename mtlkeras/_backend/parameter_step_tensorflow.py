"""TensorFlow: the training step of balancers by gradients of the parameters.

A plain loop over a persistent tape: vectorised Jacobians take longer, with XLA twice as long.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def parameter_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs."""
    balancing, optimizer = model.balancing, model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    # Replicas cannot exchange gradients within a branch; there every step looks at all gradients,
    # and only the weights are kept.
    if balancing.balancer.every > 1 and replicas == 1:
        return tf.cond(balancing.due(), lambda: _balanced(model, data), lambda: _weighted(model, data))
    return _balanced(model, data)


class _Pass:
    """A forward pass, and the gradients of its losses."""

    def __init__(self, model: Any, data: Any) -> None:
        self.x, self.y, self.sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        scale = model.optimizer.scale_loss
        self.scale = scale(tf.ones(()))
        with tf.GradientTape(persistent=True) as self._tape:
            self.outputs = model(self.x, training=True)
            terms = model.task_losses(self.y, self.outputs, self.sample_weight)
            self.losses, _, self.present, rest = terms
            self._scaled = [scale(loss) for loss in tf.unstack(self.losses, len(model.output))]
            self._rest = scale(rest)
        self.regularized = bool(model.losses)

    def of_task(self, task: int, variables: list[Any]) -> list[Any]:
        return _dense(self._tape.gradient(self._scaled[task], _values(variables)))

    def of_sum(self, weights: Any, variables: list[Any]) -> list[Any]:
        """Returns the gradients of the weighted losses and the regularisers' together."""
        factors = [*tf.unstack(weights, len(self._scaled)), tf.ones(())]
        gradients = self._tape.gradient(
            [*self._scaled, self._rest], _values(variables), output_gradients=factors
        )
        return _dense(gradients)

    def of_rest(self, variables: list[Any]) -> list[Any]:
        if not self.regularized:
            return [None] * len(variables)
        return _dense(self._tape.gradient(self._rest, _values(variables)))


def _balanced(model: Any, data: Any) -> dict[str, Any]:
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    noise = balancing.draw()
    if balancing.balancer.gram_fraction < 1.0:
        gradients, losses, present, scale = _of_part(model, data)
        weights, _, after = balancing.weigh_and_combine(gradients, losses, present, noise, scale)
        return _weighted(model, data, weights, after)
    step = _Pass(model, data)
    if not balancing.combines:
        gradients = [step.of_task(k, balancing.chosen) for k in range(len(balancing.tasks))]
        weights, _, after = balancing.weigh_and_combine(
            gradients, step.losses, step.present, noise, step.scale
        )
        return _finish(
            model, step, step.of_sum(weights, shared), step.of_sum(tf.ones_like(weights), own), after
        )
    gradients, of_own = [], step.of_rest(own)
    for task in range(len(balancing.tasks)):
        found = step.of_task(task, shared + own)
        gradients.append(found[: len(shared)])
        of_own = _added(of_own, found[len(shared) :])
    _, combined, after = balancing.weigh_and_combine(gradients, step.losses, step.present, noise, step.scale)
    return _finish(model, step, _added(combined, step.of_rest(shared)), of_own, after)


def _weighted(model: Any, data: Any, weights: Any = None, after: Any = None) -> dict[str, Any]:
    """Trains with weights that are known; by default those of the steps before."""
    balancing = model.balancing
    step = _Pass(model, data)
    if weights is None:
        weights, after = balancing.kept(step.present)
    ones = tf.ones_like(weights)
    return _finish(model, step, step.of_sum(weights, balancing.shared), step.of_sum(ones, _own(model)), after)


def _finish(model: Any, step: _Pass, of_shared: list[Any], of_own: list[Any], after: Any) -> dict[str, Any]:
    variables = [*model.balancing.shared, *_own(model)]
    pairs = [pair for pair in zip(of_shared + of_own, variables, strict=True) if pair[0] is not None]
    model.optimizer.apply_gradients([*pairs, *((value, variable) for variable, value in after)])
    return model.compute_metrics(step.x, step.y, step.outputs, step.sample_weight)


def _of_part(model: Any, data: Any) -> tuple[list[list[Any]], Any, Any, Any]:
    """Returns gradients of the first rows of a batch; leaves moving averages and seeds alone."""
    balancing = model.balancing
    rows = tf.shape(tf.nest.flatten(data)[0])[0]
    part = tf.cast(tf.math.ceil(tf.cast(rows, tf.float32) * balancing.balancer.gram_fraction), tf.int32)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(
        tf.nest.map_structure(lambda t: t[:part], data)
    )
    kept = [(variable, tf.identity(variable.value)) for variable in model.non_trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        losses, _, present = model.look_at_losses(y, model(x, training=True), sample_weight)
        scaled = [model.optimizer.scale_loss(loss) for loss in tf.unstack(losses, len(model.output))]
    for variable, value in kept:
        variable.assign(value)
    gradients = [_dense(tape.gradient(loss, _values(balancing.chosen))) for loss in scaled]
    return gradients, losses, present, model.optimizer.scale_loss(tf.ones(()))


def _own(model: Any) -> list[Any]:
    """Returns the variables that one task alone trains."""
    known = {id(v) for v in (*model.balancing.shared, *model.balancing.variables)}
    return [v for v in model.trainable_variables if id(v) not in known]


def _values(variables: list[Any]) -> list[Any]:
    return [variable.value for variable in variables]


def _dense(gradients: list[Any]) -> list[Any]:
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def _added(gradients: list[Any], more: list[Any]) -> list[Any]:
    return [b if a is None else a if b is None else a + b for a, b in zip(gradients, more, strict=True)]
