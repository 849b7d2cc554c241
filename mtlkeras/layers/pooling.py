"""From the steps of a sequence to one vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor


class _Pooling(keras.layers.Layer):
    """Base of layers called with `(x, mask)`; `mask` may be `None`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """There is no time left to mask."""

    def compute_output_spec(self, inputs: Tensor, mask: Tensor | None = None) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], inputs.shape[2]), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable("mtlkeras")
class MaskedMax(_Pooling):
    """The maximum of each feature over the steps of a sequence; zeros where there is no step.

    Input: `(batch, time, features)`, and as `mask` bool `(batch, time)`. Output: `(batch, features)`.

    Example:

    ```python
    mtlkeras.layers.MaskedMax()(np.array([[[1.0], [9.0]]]), mask=np.array([[True, False]]))  # [[1.0]]
    ```
    """

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return ops.max(inputs, axis=1)
        mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
        lowest = -6e4 if keras.backend.standardize_dtype(inputs.dtype) == "float16" else -1e30
        largest = ops.max(ops.where(mask, inputs, ops.full_like(inputs, lowest)), axis=1)
        return ops.where(ops.any(mask, axis=1), largest, ops.zeros_like(largest))


@keras.saving.register_keras_serializable("mtlkeras")
class MaskedMean(_Pooling):
    """The mean of each feature over the steps of a sequence; zeros where there is no step.

    Input: `(batch, time, features)`, and as `mask` bool `(batch, time)`. Output: `(batch, features)`.

    Example:

    ```python
    mtlkeras.layers.MaskedMean()(np.array([[[1.0], [9.0]]]), mask=np.array([[True, False]]))  # [[1.0]]
    ```
    """

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return ops.mean(inputs, axis=1)
        mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
        total = ops.sum(ops.where(mask, inputs, ops.zeros_like(inputs)), axis=1)
        return total / ops.maximum(ops.sum(ops.cast(mask, total.dtype), axis=1), 1)


@keras.saving.register_keras_serializable("mtlkeras")
class LastState(_Pooling):
    """The state in which a recurrent layer ends.

    Args:
        bidirectional: Whether the second half of the features was read backwards, and so ends at
            the first step.

    Input: `(batch, time, features)`, the outputs of a Keras recurrent layer, and as `mask` bool
    `(batch, time)`. Output: `(batch, features)`; zeros where there is no step.

    Example:

    ```python
    mtlkeras.layers.LastState(bidirectional=True)(np.array([[[1.0, 2.0], [3.0, 4.0]]]))  # [[3.0, 2.0]]
    ```
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], "bool")
        mask = ops.cast(mask, "bool")
        steps = ops.broadcast_to(ops.arange(ops.shape(inputs)[1], dtype="int32")[None], ops.shape(mask))
        last = _step(inputs, ops.max(ops.where(mask, steps, 0), axis=1))
        if self.bidirectional:
            half = inputs.shape[-1] // 2
            first = _step(inputs, ops.argmax(ops.cast(mask, "int32"), axis=1))
            last = ops.concatenate([last[:, :half], first[:, half:]], axis=-1)
        return ops.where(ops.any(mask, axis=1, keepdims=True), last, ops.zeros_like(last))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}


def _step(x: Tensor, places: Any) -> Any:
    """Returns one step of each sequence, by its place."""
    return ops.take_along_axis(x, ops.cast(places, "int32")[:, None, None], axis=1)[:, 0]


@keras.saving.register_keras_serializable("mtlkeras")
class AttentionPooling(_Pooling):
    """The mean of the steps, weighted by what a small network makes of each.

    Lin et al. 2017, A Structured Self-attentive Sentence Embedding, equation 5, with one row:
    `a = softmax(w2 tanh(W1 x))`, and the sum of the steps by their weights.

    Args:
        units: Units of the network's hidden layer; `None` for the number of features.

    Input: `(batch, time, features)`, and as `mask` bool `(batch, time)`. Output:
    `(batch, features)`; zeros where there is no step.

    Example:

    ```python
    layer = mtlkeras.layers.AttentionPooling()
    x, mask = np.ones((1, 3, 4)), np.array([[True, True, False]])
    layer(x, mask=mask).shape             # (1, 4)
    layer.attention_weights(x, mask=mask)  # [[0.5, 0.5, 0.0]]
    ```
    """

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        units = self.units or features
        self.hidden = self.add_weight(shape=(features, units), initializer="glorot_uniform", name="hidden")
        self.scoring = self.add_weight(shape=(units,), initializer="glorot_uniform", name="scoring")

    def attention_weights(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights of the steps, float32 `(batch, time)`; they sum to 1, or 0 without steps."""
        if not self.built:
            self.build(inputs.shape)
        inputs = ops.convert_to_tensor(inputs, self.compute_dtype)
        hidden = ops.tanh(ops.matmul(inputs, ops.cast(self.hidden, inputs.dtype)))
        scores = ops.sum(ops.cast(hidden, "float32") * ops.cast(self.scoring, "float32"), axis=-1)
        # Not `ops.softmax`, which warns of a text of one token.
        if mask is None:
            return ops.exp(ops.log_softmax(scores, axis=-1))
        mask = ops.cast(mask, "bool")
        weights = ops.exp(ops.log_softmax(ops.where(mask, scores, -1e30), axis=-1))
        return ops.where(mask, weights, 0.0)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        weights = ops.cast(self.attention_weights(inputs, mask), inputs.dtype)
        if mask is not None:  # A weight of zero would not hide what is not finite.
            inputs = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), inputs, ops.zeros_like(inputs))
        return ops.sum(inputs * ops.expand_dims(weights, -1), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
