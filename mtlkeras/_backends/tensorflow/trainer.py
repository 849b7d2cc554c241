"""TensorFlow: each `tf.distribute` replica sees its part of the batch."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import tensorflow as tf

from mtlkeras._backends.tensorflow import empty_parts, multi_worker
from mtlkeras._backends.tensorflow.gradients import treat_gradients_as_one
from mtlkeras._backends.tensorflow.parameter_step import parameter_step
from mtlkeras._backends.tensorflow.plain_step import plain_step, test_step
from mtlkeras._backends.tensorflow.replica_checks import check_training
from mtlkeras._backends.tensorflow.replicas import replica_count
from mtlkeras._backends.tensorflow.representation_step import representation_step
from mtlkeras._keras_private import build_with, spec_of_one_replica, strategy_of


class Trainer:
    """What a model's training needs on this backend beyond Keras' own; comes before `keras.Model`."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in Keras, in the scope of the model's strategy."""
        strategy = strategy_of(self)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            super().compile(*args, **kwargs)  # type: ignore[misc]
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            check_training(self)
            treat_gradients_as_one(self.optimizer)  # type: ignore[attr-defined]

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Makes what variables are still missing, without reading a batch.

        Keras takes the mean over the replicas' parts of a first batch, which fails if they
        differ in length, and under several workers; a data set that shuffles by the epoch
        would count the reading as an epoch.
        """
        strategy = strategy_of(self)
        if strategy is None:
            return
        if strategy.num_replicas_in_sync > 1:
            check_training(self)  # Again, since settings may have changed after `compile`.
        if iterator is not None:
            data_batch = tf.nest.map_structure(_symbol, iterator.data_adapter.get_tf_dataset().element_spec)
        with strategy.scope():
            build_with(self, data_batch)

    def see_ranks(self, step: str, y: Any, sample_weight: Any) -> None:
        """Has a step, `"train"` or `"test"`, traced anew for labels or weights of another rank than before.

        TensorFlow would take the rank for unknown from then on.
        """
        ranks_by_step = self.__dict__.setdefault("_ranks", {})
        ranks = [len(a.shape) for a in tf.nest.flatten((y, sample_weight)) if a is not None]
        if ranks_by_step.get(step, ranks) != ranks:
            setattr(self, f"{step}_function", None)
        ranks_by_step[step] = ranks

    def train_step(self, data: Any) -> Any:
        if replica_count() > 1:
            with tf.control_dependencies(empty_parts.check_not_empty(self, data)):
                data = empty_parts.with_a_row(data)
        if self.skip_non_finite:  # type: ignore[attr-defined]
            logs, taken = undo_if_not_finite(self, data)
        else:
            logs, taken = train_step(self, data)
        if self.balancing is not None:  # type: ignore[attr-defined]
            logs = {**logs, **balance_after_step(self, data, taken)}
        return multi_worker.with_replica_axis(logs)

    def test_step(self, data: Any) -> Any:
        if replica_count() > 1:
            data = empty_parts.with_a_row(data)
        return multi_worker.with_replica_axis(test_step(self, data))

    def predict_step(self, data: Any) -> Any:
        if replica_count() == 1:
            return super().predict_step(data)  # type: ignore[misc]
        x, rows = empty_parts.inputs_with_a_row(data)
        return empty_parts.without_added_row(super().predict_step((x,)), rows)  # type: ignore[misc]


def train_step(model: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Trains on one batch; returns the logs, and whether there was an update.

    The scaling of losses leaves a step out whose gradients overflow: then the balancer forgets it too.
    """
    balancing, optimizer = model.balancing, model.optimizer
    if balancing is None:
        return plain_step(model, data), True
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    before = [tf.identity(variable.value) for variable in balancing.remembered] if scaling else []
    scale = tf.identity(optimizer.dynamic_scale.value) if scaling else None
    if balancing.own_step == "parameters":
        logs = parameter_step(model, data)
    elif balancing.own_step == "representation":
        logs = representation_step(model, data)
    else:
        with balancing.asked():
            logs = plain_step(model, data)
    if not scaling:
        return logs, True
    taken = optimizer.dynamic_scale.value >= scale
    for variable, value in zip(balancing.remembered, before, strict=True):
        variable.assign(tf.where(taken, variable.value, value))
    return logs, taken


def balance_after_step(model: Any, data: Any, taken: Any) -> dict[str, Any]:
    """Ends a training step for the model's balancer; returns what it adds to the logs."""
    if model.balancing.looks_again:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # A look: moving averages and seeds stay as the step has left them.
        kept = [(variable, tf.identity(variable.value)) for variable in model.non_trainable_variables]
        outputs = model.outputs_for_loss(x, training=True)
        for variable, value in kept:
            variable.assign(value)
        model.balance_after_step(y, outputs, sample_weight, taken)
    return model.log_weights()


def undo_if_not_finite(model: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Runs a training step, and puts all variables back if a loss or a weight ends as no finite number.

    Returns the logs, and whether there was an update.
    """
    skipped, watched = model.watched_by_skipping()
    variables = {id(v): v for v in (*model.variables, *model.optimizer.variables, *model.metrics_variables)}
    kept = [variable for variable in variables.values() if variable is not skipped]
    before = [tf.identity(variable.value) for variable in kept]
    _, taken = train_step(model, data)
    good = tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable.value)) for variable in watched])
    for variable, value in zip(kept, before, strict=True):
        variable.assign(tf.where(good, variable.value, value))
    skipped.assign_add(1.0 - tf.cast(good, tf.float32))
    return model.get_metrics_result(), tf.logical_and(good, taken)


def _symbol(spec: Any) -> Any:
    # A data set that the caller distributed has one spec for each replica.
    spec = spec_of_one_replica(spec)
    if isinstance(spec, tf.OptionalSpec):  # Stands for labels or weights that are not there.
        return None
    return keras.KerasTensor(spec.shape.as_list(), dtype=spec.dtype.name)
