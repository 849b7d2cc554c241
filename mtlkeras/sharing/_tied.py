"""A model of trunks whose weights a penalty holds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._backends import matmul
from mtlkeras._keras_private import uncast_value
from mtlkeras._types import Tensor
from mtlkeras.layers.trunk_output import TrunkOutput

_ROUNDING = 2.0**-23  # Of float32.


def distance_to_mean(weights: Sequence[Any]) -> Any:
    """Returns the sum over several tasks of the squared distances of their weights to the tasks' mean.

    Args:
        weights: A float32 tensor of each task, of one shape.

    Returns:
        A float32 scalar.
    """
    mean = sum(weights[1:], weights[0]) / len(weights)
    return sum((ops.sum(ops.square(w - mean)) for w in weights), ops.zeros((), "float32"))


def trace_norm(weights: Sequence[Any]) -> Any:
    """Returns the sum of the singular values of the matrix whose rows are the weights of several tasks.

    Its gradient is U V^T of the singular values that are not zero, the least of the subgradients, which is
    finite where values are equal or zero, as they are when all tasks begin alike. Values below about 0.0005
    of the largest count as zero.

    Args:
        weights: A float32 tensor of each task, of one shape of rank 2 or more. Of rank 1 there is no norm
            to take: those give 0.

    Returns:
        A float32 scalar.
    """
    if len(weights[0].shape) < 2:
        # With a gradient, as Keras warns of weights without: those behind the tap that a head reads.
        return 0.0 * sum((ops.sum(w) for w in weights), ops.zeros((), "float32"))
    rows = ops.stack([ops.reshape(w, (-1,)) for w in weights])
    fixed = ops.stop_gradient(rows)
    # Of the small matrix of products; the singular values of the rows are the roots of its own.
    left, squares, _ = ops.svd(matmul(fixed, fixed, transpose_b=True))
    kept = squares > len(weights) * _ROUNDING * ops.max(squares)
    inverse = ops.where(kept, ops.rsqrt(ops.where(kept, squares, 1.0)), 0.0)
    direction = matmul(matmul(left * inverse, left, transpose_b=True), fixed)
    return ops.sum(ops.stop_gradient(direction) * rows)


PENALTIES = {"l2": distance_to_mean, "trace_norm": trace_norm}


@keras.saving.register_keras_serializable("mtlkeras", name="Tied")
class Tied(keras.Model):
    """A functional model of a trunk for each task, which adds the penalty of its scheme to the losses.

    The trunks are its inner models. What penalty it is says the `mtlkeras.sharing.SoftSharing` that its
    `mtlkeras.layers.TrunkOutput` carries.
    """

    @property
    def sharing(self) -> Any:
        """The scheme."""
        return next(layer.sharing for layer in self.layers if isinstance(layer, TrunkOutput))

    @property
    def lanes(self) -> list[Any]:
        """The trunks of the tasks."""
        return [layer for layer in self.layers if isinstance(layer, keras.Model)]

    def call(self, inputs: Any, training: Any = None, mask: Tensor | None = None) -> Any:
        outputs = super().call(inputs, training=training, mask=mask)
        keras.layers.Layer.add_loss(self, self.penalty())  # A functional model's own refuses.
        return outputs

    def penalty(self) -> Any:
        """Returns the penalty at the weights as they are, a float32 scalar."""
        scheme = self.sharing
        total = ops.zeros((), "float32")
        for variables in zip(*(lane.variables for lane in self.lanes), strict=True):
            if any(variable.trainable for variable in variables):
                weights = [ops.cast(uncast_value(v), "float32") for v in variables]
                total = total + PENALTIES[scheme.penalty](weights)
        return scheme.strength * total
