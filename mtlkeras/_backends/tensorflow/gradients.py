"""Clipping and overflow checks on the gradient of the whole batch.

Keras does both to each replica's own gradient, before it adds them up: the update then depends
on the number of replicas, and an overflow on one replica reaches the weights of all.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mtlkeras._keras_private import clip_after_sum

CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def treat_gradients_as_one(optimizer: Any) -> None:
    """Makes an optimizer add up the replicas' gradients before it clips or checks them."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        _check_finite_on_all(optimizer)
        optimizer = optimizer.inner_optimizer
    if any(getattr(optimizer, name) is not None for name in CLIPPING):
        clip_after_sum(optimizer)


def _check_finite_on_all(optimizer: Any) -> None:
    if "check_finite" in vars(optimizer):
        return
    check = optimizer.check_finite

    def check_all(gradients: list[Any]) -> Any:
        failures = tf.cast(tf.logical_not(check(gradients)), tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, failures), 0.0)

    optimizer.check_finite = check_all
