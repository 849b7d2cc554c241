"""TensorFlow: each `tf.distribute` replica sees its part of the batch."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import tensorflow as tf

from mtlkeras._backend import multi_worker


def replica_count() -> int:
    """Returns how many replicas compute a step together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensor: Any) -> Any:
    """Returns the tensor summed over all replicas; outside of a replica, the tensor itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensor
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns a strategy; see `mtlkeras.training.strategy`."""
    if name == "multi_worker":
        return multi_worker.make_strategy()  # Before anything else, such as a look at the devices.
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "CPU:0")
    if gpus:
        return tf.distribute.MirroredStrategy()
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    # The collectives for CPUs take one shape of model in a process, and one step an execution.
    return tf.distribute.MirroredStrategy(cpus, cross_device_ops=tf.distribute.ReductionToOneDevice())


def gather_names(names: tuple[str, ...], indices: Any) -> Any:
    """Returns a string tensor of the names at `indices`."""
    return tf.gather(tf.constant(list(names)), indices)


def recover_state(model: Any) -> Any:
    """Guards a run of `model` that may break off; variables always hold their values here."""
    return contextlib.nullcontext()


def divisible(x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> tuple[Any, Any, Any]:
    """Returns the data as they are: replicas may get parts of different size."""
    return x, y, sample_weight


class Trainer:
    """What a model's training needs on this backend beyond Keras' own; comes before `keras.Model`."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Makes what variables are still missing, without reading a batch.

        Keras takes the mean over the replicas' parts of a first batch, which fails if they
        differ in length, and under several workers; a data set that shuffles by the epoch
        would count the reading as an epoch.
        """
        if self._distribute_strategy is None:  # type: ignore[attr-defined]
            return
        if iterator is not None:
            data_batch = tf.nest.map_structure(_symbol, iterator.data_adapter.get_tf_dataset().element_spec)
        with self._distribute_strategy.scope():  # type: ignore[attr-defined]
            self._symbolic_build(data_batch=data_batch)  # type: ignore[attr-defined]

    def train_step(self, data: Any) -> Any:
        if replica_count() > 1 and _clips(self.optimizer):  # type: ignore[attr-defined]
            logs = self._train_step_with_global_clipping(data)
        else:
            logs = super().train_step(data)  # type: ignore[misc]
        return multi_worker.with_replica_axis(logs)

    def test_step(self, data: Any) -> Any:
        return multi_worker.with_replica_axis(super().test_step(data))  # type: ignore[misc]

    def _train_step_with_global_clipping(self, data: Any) -> Any:
        """Clips the gradient of the whole batch; Keras would clip each replica's own."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        model: Any = self
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x, y, outputs, sample_weight, training=True)
            scaled = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        gradients = tape.gradient(scaled, weights)
        model.optimizer.apply(_clipped_globally(model.optimizer, gradients), weights)
        return model.compute_metrics(x, y, outputs, sample_weight=sample_weight)


def _symbol(spec: Any) -> Any:
    # A data set that the caller distributed has one spec for each replica.
    spec = getattr(spec, "_value_specs", [spec])[0]
    return keras.KerasTensor(spec.shape.as_list(), dtype=spec.dtype.name)


def _clips(optimizer: Any) -> bool:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return any(getattr(inner, name, None) for name in ("clipnorm", "clipvalue", "global_clipnorm"))


def _clipped_globally(optimizer: Any, gradients: list[Any]) -> list[Any]:
    """Returns each replica's share of the clipped gradient of the whole batch.

    The optimizer adds up the shares. Its own clipping leaves them as they are, since each is
    by the number of replicas smaller than what is allowed.
    """
    present = [i for i, gradient in enumerate(gradients) if gradient is not None]
    summed = sum_over_replicas([tf.convert_to_tensor(gradients[i]) for i in present])
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # A loss-scaling optimizer unscales before its inner one would clip.
    scale = 1.0 if inner is optimizer else tf.convert_to_tensor(optimizer.dynamic_scale)
    if inner.clipvalue:
        limit = inner.clipvalue * scale
        clipped = [tf.clip_by_value(g, -limit, limit) for g in summed]
    elif inner.clipnorm:
        clipped = [tf.clip_by_norm(g, inner.clipnorm * scale) for g in summed]
    else:
        clipped, _ = tf.clip_by_global_norm(summed, inner.global_clipnorm * scale)
    shares = iter(gradient / replica_count() for gradient in clipped)
    return [None if gradient is None else next(shares) for gradient in gradients]
