"""A task's attention over the features that tasks share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor
from mtlkeras.layers._normalization import NORMALIZATIONS, normalization, normalized


@keras.saving.register_keras_serializable("mtlkeras")
class FeatureAttention(keras.layers.Layer):
    """Multiplies each feature by a value in (0, 1), computed at each pixel or step.

    Liu, Johns and Davison 2019, End-to-End Multi-Task Learning with Attention, equations 1 and 2:
    `features * sigmoid(n2(W2 relu(n1(W1 seen))))`, where W1 and W2 are 1x1 convolutions and n1 and n2
    normalisations.

    Args:
        units: Channels of the hidden layer, the rows of W1.
        normalization: `"batch"`, `"layer"` (over the features of each pixel or step) or `None`. Steps of a
            sequence outside of `mask` are no part of the batch's statistics.

    Called with `(features, seen)`: floats of shape `(batch, ..., n)` and `(batch, ..., m)`, alike but for the
    last axis; for sequences `mask` may be bool `(batch, time)`. The output is as `features`.

    Raises:
        ValueError: If a field does not fit.

    Example:

    ```python
    layer = mtlkeras.layers.FeatureAttention(units=2, normalization="layer")
    x = np.ones((1, 5, 5, 8), "float32")
    layer(x, x).shape              # (1, 5, 5, 8)
    layer.gate_values(x, x).shape  # (1, 5, 5, 8)
    ```
    """

    def __init__(self, units: int, normalization: str | None = "batch", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"FeatureAttention: units must be at least 1; received {units!r}.")
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"FeatureAttention: normalization must be one of {', '.join(map(repr, NORMALIZATIONS))}; "
                f"received {normalization!r}."
            )
        self.units, self.normalization = int(units), normalization
        self.supports_masking = True

    def build(self, features_shape: Any, seen_shape: Any) -> None:
        self.hidden, self.hidden_norm = self._dense_and_norm(self.units, "hidden", seen_shape)
        hidden_shape = (*seen_shape[:-1], self.units)
        self.scores, self.scores_norm = self._dense_and_norm(features_shape[-1], "scores", hidden_shape)
        super().build(features_shape)

    def _dense_and_norm(self, units: int, name: str, shape: Any) -> tuple[Any, Any]:
        """Returns a 1x1 convolution, which is a dense layer on the last axis, and what follows it."""
        use_bias = self.normalization is None  # A normalisation has a bias of its own.
        dense = keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build(shape)
        norm = normalization(self.normalization, f"{name}_norm", dtype=self.dtype_policy)
        if norm is not None:
            norm.build((*shape[:-1], units))
        return dense, norm

    def call(
        self, features: Tensor, seen: Tensor, mask: Tensor | None = None, training: bool = False
    ) -> Tensor:
        return features * self._gates(seen, mask, training)

    def gate_values(self, features: Tensor, seen: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns what each feature is multiplied by, in the shape of `features`."""
        if not self.built:
            self.build(features.shape, seen.shape)
        return self._gates(ops.convert_to_tensor(seen, self.compute_dtype), mask, training=False)

    def _gates(self, seen: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        x = normalized(self.hidden_norm, self.hidden(seen), mask, training=training)
        x = normalized(self.scores_norm, self.scores(ops.relu(x)), mask, training=training)
        return ops.sigmoid(x)

    def compute_mask(self, features: Tensor, previous_mask: Any = None) -> None:
        """The mask goes its own way, as a tensor."""

    def compute_output_spec(
        self, features: Tensor, seen: Tensor, mask: Tensor | None = None, training: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor(features.shape, dtype=self.compute_dtype)

    def compute_output_shape(self, features_shape: Any, seen_shape: Any) -> Shape:
        return features_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "normalization": self.normalization}
