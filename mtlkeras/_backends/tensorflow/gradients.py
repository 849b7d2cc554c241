"""Clipping and overflow checks on the gradient of the whole batch.

Keras does both to each replica's own gradient, before it adds them up: the update then depends
on the number of replicas, and an overflow on one replica reaches the weights of all.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def treat_gradients_as_one(optimizer: Any) -> None:
    """Makes an optimizer add up the replicas' gradients before it clips or checks them."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        _check_finite_on_all(optimizer)
        optimizer = optimizer.inner_optimizer
    if any(getattr(optimizer, name) is not None for name in CLIPPING):
        _clip_after_sum(optimizer)


def _clip_after_sum(optimizer: Any) -> None:
    if "_clip_gradients" in vars(optimizer):  # Compiled before.
        return
    clip, add_up = optimizer._clip_gradients, optimizer._all_reduce_sum_gradients

    def sum_and_clip(gradients: list[Any]) -> list[Any]:
        return clip([gradient for gradient, _ in add_up([(g, None) for g in gradients])])

    optimizer._clip_gradients = sum_and_clip
    optimizer._all_reduce_sum_gradients = list  # Not a second time.


def _check_finite_on_all(optimizer: Any) -> None:
    if "check_finite" in vars(optimizer):
        return
    check = optimizer.check_finite

    def check_all(gradients: list[Any]) -> Any:
        failures = tf.cast(tf.logical_not(check(gradients)), tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, failures), 0.0)

    optimizer.check_finite = check_all
