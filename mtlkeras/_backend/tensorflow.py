"""TensorFlow: each `tf.distribute` replica sees its part of the batch."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf


def replica_count() -> int:
    """Returns how many replicas compute a step together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensor: Any) -> Any:
    """Returns the tensor summed over all replicas; outside of a replica, the tensor itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensor
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def gather_names(names: tuple[str, ...], indices: Any) -> Any:
    """Returns a string tensor of the names at `indices`."""
    return tf.gather(tf.constant(list(names)), indices)


def recover_state(model: Any) -> Any:
    """Guards a run of `model` that may break off; variables always hold their values here."""
    return contextlib.nullcontext()
