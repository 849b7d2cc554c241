"""Self-attention with a shortcut and a normalisation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Initializer, Regularizer, Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class SelfAttention(keras.layers.Layer):
    """Each step looks at all steps that are there; what it finds is added to it.

    Vaswani et al. 2017, Attention Is All You Need, sections 3.1 and 3.2.2:
    `LayerNorm(x + MultiHead(x, x, x))`. With `normalize_first`, as in Xiong et al. 2020, On Layer
    Normalization in the Transformer Architecture, `x + MultiHead(n, n, n)` of `n = LayerNorm(x)`:
    then steps keep their lengths, by which they can differ in how much they say.

    Args:
        heads: Number of heads; a divisor of the number of features, unless `head_width` is given.
        dropout: Rate of dropout of the attention weights and of what is added.
        kernel_regularizer: Regulariser of the kernels of the projections.
        kernel_initializer: Their initialiser.
        epsilon: What is added to the variance by the normalisation.
        normalize_first: Whether what goes into the attention is normalised, and not the sum.
        quantized: How the kernels of the projections are kept, such as `"int8"`; `quantize` sets it.
        head_width: Features of each head; features over heads by default. It is written down where heads were
            removed (`mtlkeras.compress`).

    Input: `(batch, time, features)`, and as `mask` bool `(batch, time)`. Output: as the input.

    Example:

    ```python
    layer = mtlkeras.layers.SelfAttention(heads=2)
    x, mask = np.ones((1, 3, 4)), np.array([[True, True, False]])
    layer(x, mask=mask).shape                    # (1, 3, 4)
    layer.attention_weights(x, mask=mask).shape  # (1, 2, 3, 3)
    ```
    """

    def __init__(
        self,
        heads: int,
        dropout: float = 0.0,
        kernel_regularizer: Regularizer = None,
        kernel_initializer: Initializer = "glorot_uniform",
        epsilon: float = 1e-3,
        normalize_first: bool = False,
        quantized: str | None = None,
        head_width: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.dropout, self.epsilon = heads, dropout, epsilon
        self.normalize_first, self.quantized, self.head_width = normalize_first, quantized, head_width
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """The mask goes its own way, as a tensor."""

    def build(self, input_shape: Shape) -> None:
        features: Any = input_shape[-1]  # A known size, as of every layer with weights.
        if self.head_width is None and features % self.heads:
            raise ValueError(
                f"SelfAttention: the number of features must be a multiple of heads; "
                f"received {features} and {self.heads}."
            )
        self.attention = keras.layers.MultiHeadAttention(
            self.heads,
            self.head_width or features // self.heads,
            dropout=self.dropout,
            kernel_regularizer=self.kernel_regularizer,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention.build(input_shape, input_shape)
        self.dropping = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build(input_shape)
        if self.quantized:
            self._quantize_projections(self.quantized)

    @property
    def projections(self) -> list[keras.layers.EinsumDense]:
        """The layers that give queries, keys, values and outputs, of a layer that is built."""
        inner = self.attention
        return [inner.query_dense, inner.key_dense, inner.value_dense, inner.output_dense]

    def quantize(self, mode: str, type_check: bool = True, config: Any = None) -> None:
        """Quantizes the kernels of the projections, as `keras.layers.Layer.quantize` does.

        Keras does that too when a whole model is quantized, but then it does not load again: the layers in
        `keras.layers.MultiHeadAttention` are not in its config (Keras 3.15).
        """
        self._quantize_projections(mode, type_check=type_check, config=config)
        self.quantized = mode

    def _quantize_projections(self, mode: str, **arguments: Any) -> None:
        for layer in self.projections:
            layer.quantize(mode, **arguments)

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        x = self._attending(inputs)
        new = self.attention(x, x, attention_mask=_seen(mask), training=training)
        added = inputs + self.dropping(new, training=training)
        return added if self.normalize_first else self.norm(added)

    def _attending(self, inputs: Tensor) -> Any:
        """Returns what the attention is computed from."""
        return self.norm(inputs) if self.normalize_first else inputs

    def attention_weights(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns how much each step looks at each: `(batch, heads, from, to)`, with sums of 1."""
        if not self.built:
            self.build(inputs.shape)
        x = self._attending(ops.convert_to_tensor(inputs, self.compute_dtype))
        seen = _seen(None if mask is None else ops.convert_to_tensor(mask))
        return self.attention(x, x, attention_mask=seen, return_attention_scores=True)[1]

    def compute_output_spec(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "heads": self.heads,
            "dropout": self.dropout,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "epsilon": self.epsilon,
            "normalize_first": self.normalize_first,
            "quantized": self.quantized,
            "head_width": self.head_width,
        }


def _seen(mask: Tensor | None) -> Tensor | None:
    """Returns which steps may be looked at, for every step that looks."""
    return None if mask is None else ops.expand_dims(ops.cast(mask, "bool"), 1)
