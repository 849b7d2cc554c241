"""Batch normalisation of examples from several sources, each with statistics of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._fields import whole_number
from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class BatchNormalizationPerSource(keras.layers.Layer):
    """Normalises each example by the mean and variance of the examples of its source.

    In training these are those of the source's examples in the batch, and move the source's moving mean and
    variance; in inference, and where the layer is frozen, they are the moving ones. So data sets in turn, or
    mixed in any shares, are normalised in inference as in training. A source that a batch has no example of
    keeps its statistics. An example of no known source, whose number is none of `0 .. sources - 1`, is
    normalised by the moving statistics of all sources together, each weighing alike, and moves none. Scale
    and offset are common to all sources.

    Args:
        sources: How many sources there are.
        momentum: Share of the moving statistics that a step keeps.
        epsilon: Added to the variances.
        gamma_initializer: Initialiser of the scale.
        **kwargs: As for every Keras layer.

    Inputs are a list: values `(batch, ..., channels)`, and whole numbers `(batch,)` or `(batch, 1)`, the
    source of each example. A `mask` `(batch, time)` leaves steps of sequences out of the statistics. The
    output is like the values, computed in float32 or better. With several replicas each has the statistics of
    its own examples, and the moving ones are the mean over them, as in `keras.layers.BatchNormalization`.

    References:
        - Ioffe and Szegedy 2015, Batch Normalization, algorithms 1 and 2, applied to each source.
        - Chang et al. 2019, Domain-Specific Batch Normalization for Unsupervised Domain Adaptation, eq. 3 to
          5, with scale and offset in common.

    Example:

    >>> layer = mtlkeras.layers.BatchNormalizationPerSource(2, epsilon=0.0)
    >>> x, source = np.array([[1.0], [30.0], [3.0], [50.0]]), np.array([0, 1, 0, 1])
    >>> np.round(layer([x, source], training=True), 3)[:, 0].tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        sources: int,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        gamma_initializer: Any = "ones",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.sources = whole_number("BatchNormalizationPerSource", "sources", sources)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.supports_masking = True

    def build(self, input_shape: Sequence[Shape]) -> None:
        channels = input_shape[0][-1]

        def weight(name: str, rows: tuple[int, ...], initializer: Any, trainable: bool = True) -> Any:
            return self.add_weight(
                shape=(*rows, channels),
                name=name,
                initializer=initializer,
                trainable=trainable,
                autocast=False,
                dtype="float32",
            )

        rows = (self.sources,)
        self.gamma = weight("gamma", (), self.gamma_initializer)
        self.beta = weight("beta", (), "zeros")
        self.moving_mean = weight("moving_mean", rows, "zeros", False)
        self.moving_variance = weight("moving_variance", rows, "ones", False)

    def call(self, inputs: Sequence[Tensor], training: Any = None, mask: Any = None) -> Tensor:
        x, source = inputs
        x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        source = ops.reshape(ops.cast(source, "int32"), (-1,))
        known = ops.logical_and(source >= 0, source < self.sources)
        place = ops.where(known, source, self.sources)  # The last row is that of no source.
        mean, variance = ops.cast(self.moving_mean, x.dtype), ops.cast(self.moving_variance, x.dtype)
        pooled = _pooled(mean, variance)
        if training and self.trainable:
            mean, variance, there = self._moments(x, place, _first(mask))
            self._move(mean, variance, there)
        mean = ops.concatenate([mean, pooled[0]], axis=0)
        variance = ops.concatenate([variance, pooled[1]], axis=0)
        factor = ops.cast(self.gamma, x.dtype) / ops.sqrt(variance + self.epsilon)
        outputs = (x - _rows(mean, place, x)) * _rows(factor, place, x) + ops.cast(self.beta, x.dtype)
        return ops.cast(outputs, self.compute_dtype)

    def _moments(self, x: Any, place: Any, mask: Any) -> tuple[Any, Any, Any]:
        """Returns mean and variance of each source, `(sources, channels)`, and whether it is in the batch."""
        within = tuple(range(1, len(x.shape) - 1))
        counted = ops.ones_like(x[..., :1]) if mask is None else ops.cast(ops.expand_dims(mask, -1), x.dtype)

        def sums(values: Any) -> Any:
            values = ops.where(counted > 0, values, 0.0)  # What is masked may be anything, NaN too.
            found = ops.sum(values, axis=within) if within else values
            return ops.segment_sum(found, place, num_segments=self.sources + 1)

        count = ops.maximum(sums(counted), 1.0)
        mean = sums(x) / count
        # From the mean, as sums of squares less squares of sums lose their digits.
        variance = sums(ops.square(x - _rows(mean, place, x))) / count
        there = sums(counted)[: self.sources] > 0
        return mean[: self.sources], variance[: self.sources], there

    def _move(self, mean: Any, variance: Any, there: Any) -> None:
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept = ops.cast(moving, value.dtype)
            moved = kept * self.momentum + value * (1.0 - self.momentum)
            moving.assign(ops.cast(ops.where(there, moved, kept), moving.dtype))

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs[0].shape, dtype=self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return _first(previous_mask)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "sources": self.sources,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


def _first(mask: Any) -> Any:
    """Returns the mask of the values, among those of both inputs or alone."""
    return mask[0] if isinstance(mask, (list, tuple)) else mask


def _pooled(mean: Any, variance: Any) -> tuple[Any, Any]:
    """Returns mean and variance of all sources together, `(1, channels)`: the law of total variance."""
    common = ops.mean(mean, axis=0, keepdims=True)
    return common, ops.mean(variance + ops.square(mean - common), axis=0, keepdims=True)


def _rows(values: Any, place: Any, x: Any) -> Any:
    """Returns of each example's source the row, in the rank of the values."""
    found = ops.take(values, place, axis=0)
    return ops.reshape(found, (-1, *[1] * (len(x.shape) - 2), values.shape[-1]))
