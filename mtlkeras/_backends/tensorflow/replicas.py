"""TensorFlow: the replicas of a step, and the strategies that make them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtlkeras._backends.tensorflow import multi_worker
from mtlkeras._backends.tensorflow.multi_worker import is_chief as is_chief


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
