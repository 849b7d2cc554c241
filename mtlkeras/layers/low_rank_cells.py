"""Recurrent cells whose recurrent kernel is a product of two small ones."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from mtlkeras._types import Regularizer, Shape, Tensor


class _LowRankCell(keras.layers.Layer):
    """Base of cells: weights, and the states that they begin with.

    Args:
        units: Number of features of each state.
        rank: Number of features that a state is reduced to before the gates read it.
        activation: Of what goes into the state, and of the output.
        recurrent_activation: Of the gates.
        use_bias: Whether gates have a bias.
        kernel_regularizer: Regulariser of what reads the inputs.
        recurrent_regularizer: Of both parts of the recurrent kernel.
        bias_regularizer: Of the bias.
    """

    gates: ClassVar[int]
    states: ClassVar[int]
    biases: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        units: int,
        rank: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_regularizer: Regularizer = None,
        recurrent_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.rank, self.use_bias = units, rank, use_bias
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.state_size = [units] * self.states
        self.output_size = units

    def build(self, input_shape: Shape) -> None:
        wide = self.gates * self.units
        features: Any = input_shape[-1]  # A known size, as of every layer with weights.
        self.kernel = self.add_weight((features, wide), name="kernel", regularizer=self.kernel_regularizer)
        self.recurrent_low = self.add_weight(
            (self.units, self.rank), name="recurrent_low", regularizer=self.recurrent_regularizer
        )
        self.recurrent_kernel = self.add_weight(
            (self.rank, wide), name="recurrent_kernel", regularizer=self.recurrent_regularizer
        )
        self.bias: Any = None
        if self.use_bias:
            self.bias = self.add_weight(
                (*self.biases, wide), initializer="zeros", name="bias", regularizer=self.bias_regularizer
            )

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Returns states of zeros, `(batch_size, units)` each."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def _recurrent(self, state: Tensor) -> Any:
        return ops.matmul(ops.matmul(state, self.recurrent_low), self.recurrent_kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "rank": self.rank,
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "recurrent_regularizer": keras.regularizers.serialize(self.recurrent_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }


@keras.saving.register_keras_serializable("mtlkeras")
class LowRankLSTMCell(_LowRankCell):
    """The cell of an LSTM whose recurrent kernel has a rank.

    `keras.layers.LSTMCell` with `recurrent_low @ recurrent_kernel` as its recurrent kernel, as
    `mtlkeras.compress.factorize` makes it (Prabhavalkar et al. 2016, On the Compression of Recurrent Neural
    Networks with an Application to LVCSR, section 3).

    Args:
        units: Number of features of each state.
        rank: Number of features that a state is reduced to before the gates read it.
        activation, recurrent_activation, use_bias: As in `keras.layers.LSTMCell`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Likewise.

    Example:

    ```python
    layer = keras.layers.RNN(mtlkeras.layers.LowRankLSTMCell(8, rank=2), return_sequences=True)
    layer(np.ones((1, 3, 4))).shape  # (1, 3, 8)
    ```
    """

    gates, states = 4, 2

    def call(self, inputs: Tensor, states: list[Tensor], training: bool = False) -> tuple[Any, list[Any]]:
        state, carry = states
        z = ops.add(ops.matmul(inputs, self.kernel), self._recurrent(state))
        if self.bias is not None:
            z = ops.add(z, self.bias)
        into, forget, new, out = ops.split(z, 4, axis=1)
        carry = self.recurrent_activation(forget) * carry + self.recurrent_activation(into) * self.activation(
            new
        )
        state = self.recurrent_activation(out) * self.activation(carry)
        return state, [state, carry]


@keras.saving.register_keras_serializable("mtlkeras")
class LowRankGRUCell(_LowRankCell):
    """The cell of a GRU whose recurrent kernel has a rank.

    `keras.layers.GRUCell` with `recurrent_low @ recurrent_kernel` as its recurrent kernel, and the reset gate
    applied after it.

    Args:
        units: Number of features of the state.
        rank: Number of features that the state is reduced to before the gates read it.
        activation, recurrent_activation, use_bias: As in `keras.layers.GRUCell`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Likewise.

    Example:

    ```python
    layer = keras.layers.RNN(mtlkeras.layers.LowRankGRUCell(8, rank=2))
    layer(np.ones((1, 3, 4))).shape  # (1, 8)
    ```
    """

    gates, states, biases = 3, 1, (2,)

    def call(self, inputs: Tensor, states: list[Tensor], training: bool = False) -> tuple[Any, list[Any]]:
        (state,) = states
        x, inner = ops.matmul(inputs, self.kernel), self._recurrent(state)
        if self.bias is not None:
            x, inner = ops.add(x, self.bias[0]), ops.add(inner, self.bias[1])
        x_update, x_reset, x_new = ops.split(x, 3, axis=1)
        update, reset, new = ops.split(inner, 3, axis=1)
        update = self.recurrent_activation(x_update + update)
        new = self.activation(x_new + self.recurrent_activation(x_reset + reset) * new)
        state = update * state + (1.0 - update) * new
        return state, [state]
