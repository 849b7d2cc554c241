"""TensorFlow: the training step of balancers by gradients of the parameters.

A plain loop over a persistent tape: vectorised Jacobians take longer, with XLA twice as long.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mtlkeras._backend import empty_parts
from mtlkeras.checks import framed

SEVERAL_TASKS = (
    "A batch has an example with labels of several tasks, which the balancer's one_task_each=True rules "
    "out. Leave one_task_each out."
)


def parameter_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs."""
    balancing, optimizer = model.balancing, model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    if balancing.in_halves:
        return _paired(model, data)
    # Replicas cannot exchange gradients within a branch; there every step looks at all gradients,
    # and only the weights are kept.
    if balancing.balancer.every > 1 and _one_replica():
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
            self.losses, self.counts, self.present, rest = terms
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

    def log(self, model: Any) -> dict[str, Any]:
        return model.compute_metrics(self.x, self.y, self.outputs, self.sample_weight)

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
    if balancing.balancer.one_task_each:
        return _finish_each(model, _split(model, data), noise)
    step = _Pass(model, data)
    if balancing.combines:
        return _finish_each(model, [step] * len(balancing.tasks), noise)
    gradients = [step.of_task(k, balancing.chosen) for k in range(len(balancing.tasks))]
    weights, _, after = balancing.weigh_and_combine(gradients, step.losses, step.present, noise, step.scale)
    return _finish(model, step, step.of_sum(weights, shared), step.of_sum(tf.ones_like(weights), own), after)


def _finish_each(model: Any, steps: list[_Pass], noise: Any) -> dict[str, Any]:
    """Trains with the gradients of each task from the pass that has its labels."""
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    gradients, of_own = [], steps[0].of_rest(own)
    for task, step in enumerate(steps):
        found = step.of_task(task, shared + own)
        gradients.append(found[: len(shared)])
        of_own = _added(of_own, found[len(shared) :])
    passes = list({id(step): step for step in steps}.values())
    losses = tf.add_n([step.losses for step in passes])
    present = tf.reduce_max([step.present for step in passes], axis=0)
    _, combined, after = balancing.weigh_and_combine(gradients, losses, present, noise, steps[0].scale)
    for step in passes[1:]:
        step.log(model)
    return _finish(model, steps[0], _added(combined, steps[0].of_rest(shared)), of_own, after)


def _split(model: Any, data: Any) -> list[_Pass]:
    """Returns a pass for each task over the rows that have its labels: together they cost one pass."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    y = model.labels_by_task(y)
    owners = []
    for task, head in model.heads.items():
        if task in y:
            there = head.labelled(tf.convert_to_tensor(y[task]))
            owners.append(tf.reduce_any(there, axis=list(range(1, there.shape.rank))))
        else:
            owners.append(tf.zeros((tf.shape(tf.nest.flatten(x)[0])[0],), tf.bool))
    weights = [] if sample_weight is None else [sample_weight]
    most = tf.reduce_max(tf.add_n([tf.cast(owned, tf.int32) for owned in owners]))
    steps = []
    with tf.control_dependencies([tf.debugging.Assert(most <= 1, [framed(SEVERAL_TASKS)])]):
        for task, owned in zip(model.heads, owners, strict=True):
            part = [x, {task: y[task]} if task in y else {}, *weights]
            rows = tf.nest.map_structure(lambda t, owned=owned: tf.boolean_mask(t, owned), part)
            steps.append(_Pass(model, empty_parts.with_a_row(tuple(rows))))
    return steps


def _paired(model: Any, data: Any) -> dict[str, Any]:
    """Trains with the gradients of the even and of the odd rows, each a batch of its own."""
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    # A single row stands in both halves.
    second = tf.minimum(tf.shape(tf.nest.flatten(data)[0])[0] - 1, 1)
    halves = [tf.nest.map_structure(lambda t, at=at: t[at::2], data) for at in (0, second)]
    steps = [_Pass(model, half) for half in halves]
    labelled = tf.maximum(steps[0].counts + steps[1].counts, 1.0)
    shares = [step.counts / labelled for step in steps]
    gradients: list[list[Any]] = [[], []]
    of_own: list[Any] = [None] * len(own)
    for step, share, of_shared in zip(steps, shares, gradients, strict=True):
        of_own = _added(of_own, _times(0.5, step.of_rest(own)))
        for task in range(len(balancing.tasks)):
            found = step.of_task(task, shared + own)
            of_shared.append(found[: len(shared)])
            of_own = _added(of_own, _times(share[task], found[len(shared) :]))
    present = tf.maximum(steps[0].present, steps[1].present)
    losses = [step.losses for step in steps]
    _, combined, after = balancing.weigh_and_combine_pair(gradients, losses, shares, present, steps[0].scale)
    for step in steps:
        combined = _added(combined, _times(0.5, step.of_rest(shared)))
    steps[0].log(model)
    return _finish(model, steps[1], combined, of_own, after)


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
    return step.log(model)


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


def _one_replica() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync == 1


def _own(model: Any) -> list[Any]:
    """Returns the variables that one task alone trains."""
    known = {id(v) for v in (*model.balancing.shared, *model.balancing.variables)}
    return [v for v in model.trainable_variables if id(v) not in known]


def _values(variables: list[Any]) -> list[Any]:
    return [variable.value for variable in variables]


def _dense(gradients: list[Any]) -> list[Any]:
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def _times(factor: Any, gradients: list[Any]) -> list[Any]:
    return [None if g is None else tf.cast(factor, g.dtype) * g for g in gradients]


def _added(gradients: list[Any], more: list[Any]) -> list[Any]:
    return [b if a is None else a if b is None else a + b for a, b in zip(gradients, more, strict=True)]
