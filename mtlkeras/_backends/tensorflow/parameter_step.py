"""TensorFlow: the training step of balancers by gradients of the parameters.

The tasks' backward passes come one after the other: vectorised Jacobians take longer, with XLA twice as long.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mtlkeras._backends.tensorflow import empty_parts
from mtlkeras._backends.tensorflow.passes import ForkedPass, Pass, added, stacked, times
from mtlkeras._errors import framed

SEVERAL_TASKS = (
    "A batch has an example with labels of several tasks, which the balancer's one_task_each=True rules "
    "out. Leave one_task_each out."
)


def parameter_step(model: Any, data: Any) -> dict[str, Any]:
    """Trains on one batch; returns the logs."""
    balancing = model.balancing
    if balancing.in_halves:
        return _paired(model, data)
    # Replicas cannot exchange gradients within a branch; there every step looks at all gradients,
    # and only the weights are kept.
    if balancing.balancer.every > 1 and _one_replica():
        return tf.cond(balancing.due(), lambda: _balanced(model, data), lambda: _weighted(model, data))
    return _balanced(model, data)


def _pass(model: Any, data: Any, logged: bool = True) -> Pass:
    return (Pass if model.balancing.fork is None else ForkedPass)(model, data, logged)


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
    step = _pass(model, data)
    if balancing.combines:
        return _finish_all(model, step, noise)
    gradients, _ = step.task_gradients(balancing.chosen, [])
    weights, _, after = balancing.weigh_and_combine(gradients, step.losses, step.present, noise, step.scale)
    return _finish(model, step, *step.weighted(weights, shared, own), after)


def _finish_all(model: Any, step: Pass, noise: Any) -> dict[str, Any]:
    """Trains with the gradients of all tasks from one pass."""
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    gradients, of_own = step.task_gradients(shared, own)
    _, combined, after = balancing.weigh_and_combine(gradients, step.losses, step.present, noise, step.scale)
    of_shared = added(combined, step.of_regularisers(shared))
    of_own = added(of_own, step.of_regularisers(own))
    return _finish(model, step, of_shared, of_own, after)


def _finish_each(model: Any, steps: list[Pass], noise: Any) -> dict[str, Any]:
    """Trains with the gradients of each task from the pass that has its labels."""
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    gradients, of_own = [], steps[0].of_regularisers(own)
    for task, step in enumerate(steps):
        found = step.of_task(task, shared + own)
        gradients.append(found[: len(shared)])
        of_own = added(of_own, found[len(shared) :])
    passes = list({id(step): step for step in steps}.values())
    losses = tf.add_n([step.losses for step in passes])
    present = tf.reduce_max([step.present for step in passes], axis=0)
    rows = stacked(gradients, shared)
    _, combined, after = balancing.weigh_and_combine(rows, losses, present, noise, steps[0].scale)
    for step in passes[1:]:
        step.log(model)
    return _finish(model, steps[0], added(combined, steps[0].of_regularisers(shared)), of_own, after)


def _split(model: Any, data: Any) -> list[Pass]:
    """Returns a pass for each task over the rows that have its labels: together they cost one pass."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    y = model.labels_by_task(y)
    owners = []
    for task, head in model.heads.items():
        if task in y:
            mask = head.labelled(tf.convert_to_tensor(y[task]))
            owners.append(tf.reduce_any(mask, axis=list(range(1, mask.shape.rank))))
        else:
            owners.append(tf.zeros((tf.shape(tf.nest.flatten(x)[0])[0],), tf.bool))
    weights = [] if sample_weight is None else [sample_weight]
    most = tf.reduce_max(tf.add_n([tf.cast(owned, tf.int32) for owned in owners]))
    steps = []
    with tf.control_dependencies([tf.debugging.Assert(most <= 1, [framed(SEVERAL_TASKS)])]):
        for task, owned in zip(model.heads, owners, strict=True):
            part = [x, {task: y[task]} if task in y else {}, *weights]
            rows = tf.nest.map_structure(lambda t, owned=owned: tf.boolean_mask(t, owned), part)
            steps.append(Pass(model, empty_parts.with_a_row(tuple(rows))))
    return steps


def _paired(model: Any, data: Any) -> dict[str, Any]:
    """Trains with the gradients of the even and of the odd rows, each a batch of its own."""
    balancing = model.balancing
    shared, own = balancing.shared, _own(model)
    # A single row stands in both halves.
    second = tf.minimum(tf.shape(tf.nest.flatten(data)[0])[0] - 1, 1)
    halves = [_rows(data, slice(at, None, 2)) for at in (0, second)]
    steps = [_pass(model, half) for half in halves]
    labelled = tf.maximum(steps[0].counts + steps[1].counts, 1.0)
    shares = [step.counts / labelled for step in steps]
    gradients = []
    of_own: list[Any] = [None] * len(own)
    for step, share in zip(steps, shares, strict=True):
        of_shared, found = step.task_gradients(shared, own, tf.unstack(share, len(balancing.tasks)))
        gradients.append(of_shared)
        of_own = added(of_own, added(found, times(0.5, step.of_regularisers(own))))
    present = tf.maximum(steps[0].present, steps[1].present)
    losses = [step.losses for step in steps]
    _, combined, after = balancing.weigh_and_combine_pair(gradients, losses, shares, present, steps[0].scale)
    for step in steps:
        combined = added(combined, times(0.5, step.of_regularisers(shared)))
    steps[0].log(model)
    return _finish(model, steps[1], combined, of_own, after)


def _weighted(model: Any, data: Any, weights: Any = None, after: Any = None) -> dict[str, Any]:
    """Trains with weights that are known; by default those of the steps before."""
    balancing = model.balancing
    step = _pass(model, data)
    if weights is None:
        weights, after = balancing.kept(step.present)
    return _finish(model, step, *step.weighted(weights, balancing.shared, _own(model)), after)


def _finish(model: Any, step: Pass, of_shared: list[Any], of_own: list[Any], after: Any) -> dict[str, Any]:
    variables = [*model.balancing.shared, *_own(model)]
    gradients = {id(v): gradient for v, gradient in zip(variables, of_shared + of_own, strict=True)}
    # In the optimizer's order, and all of them: some optimizers count.
    model.optimizer.apply_gradients([(gradients[id(v)], v) for v in model.trainable_variables])
    for variable, value in after:
        variable.assign(value)
    return step.log(model)


def _of_part(model: Any, data: Any) -> tuple[list[list[Any]], Any, Any, Any]:
    """Returns gradients of the first rows of a batch; leaves moving averages and seeds alone."""
    balancing = model.balancing
    rows = tf.shape(tf.nest.flatten(data)[0])[0]
    part = tf.cast(tf.math.ceil(tf.cast(rows, tf.float32) * balancing.balancer.gram_fraction), tf.int32)
    kept = [(variable, tf.identity(variable.value)) for variable in model.non_trainable_variables]
    step = _pass(model, _rows(data, slice(part)), logged=False)
    for variable, value in kept:
        variable.assign(value)
    gradients, _ = step.task_gradients(balancing.chosen, [])
    return gradients, step.losses, step.present, step.scale


def _rows(data: Any, some: slice) -> Any:
    """Returns some rows of a batch, in which weights may be `None`."""
    return tf.nest.map_structure(lambda tensor: None if tensor is None else tensor[some], data)


def _one_replica() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync == 1


def _own(model: Any) -> list[Any]:
    """Returns the variables that one task alone trains."""
    shared = {id(v) for v in model.balancing.shared}
    return [v for v in model.trainable_variables if id(v) not in shared]
