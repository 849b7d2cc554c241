"""Gates: how much of each expert an example gets."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._types import Shape, Tensor

# Of what is left of a gate's weights after dropout; below it nothing is dropped, lest gradients explode.
_LEAST_LEFT = 1e-3
_TINY = 1e-30


class Gate(keras.layers.Layer):
    """Base of the gates: from what they see, shape `(batch, n)`, to weights of shape `(batch, experts)`.

    They compute in float32 under any policy.

    Args:
        experts: Number of experts.
        temperature: What logits of a softmax are divided by.
        dropout: Rate at which experts are left out of an example's weights in training; the others' are
            scaled to add up to one again (Zhao et al. 2019, Recommending What Video to Watch Next, section
            4.2). Where all would go, or nearly all of the weight, none does.
        seed: Of the dropout.
    """

    def __init__(
        self,
        experts: int,
        temperature: float = 1.0,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.experts, self.temperature, self.dropout, self.seed = experts, temperature, dropout, seed
        # It is a variable, so only where there is something to draw.
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def gate_values(self, inputs: Tensor) -> Tensor:
        """Returns the weights without dropout, which `mtlkeras.analysis.gates` shows."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define gate_values, which every gate must."
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self._dropped(self.gate_values(inputs), training)

    def _dropped(self, weights: Tensor, training: bool | None) -> Tensor:
        if not training or self.seed_generator is None:
            return weights
        draws = keras.random.uniform(ops.shape(weights), dtype="float32", seed=self.seed_generator)
        left = ops.where(draws >= self.dropout, weights, 0.0)
        total = ops.sum(left, axis=-1, keepdims=True)
        return ops.where(total > _LEAST_LEFT, left / ops.maximum(total, _LEAST_LEFT), weights)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.experts)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("experts", "temperature", "dropout", "seed")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("mtlkeras")
class SoftmaxGate(Gate):
    """A gate that gives every expert some weight: softmax(W x + b) (Ma et al. 2018, equation 7).

    Its weights are `kernel`, shape `(n, experts)`, and `bias`, shape `(experts,)`. The arguments are those of
    every gate.

    Args:
        experts: Number of experts.
        temperature: What the logits are divided by: above 1 weights are more alike, below 1 less.
        dropout: Rate at which experts are left out in training, in [0, 1).
        seed: Of the dropout.

    Example:

    >>> gate = mtlkeras.layers.SoftmaxGate(experts=3)
    >>> tuple(gate(np.ones((2, 5))).shape)
    (2, 3)
    """

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.experts), name="kernel")
        self.bias = self.add_weight(shape=(self.experts,), initializer="zeros", name="bias")

    def gate_values(self, inputs: Tensor) -> Tensor:
        logits = ops.matmul(ops.cast(inputs, "float32"), self.kernel) + self.bias
        return _softmax(logits / self.temperature)


@keras.saving.register_keras_serializable("mtlkeras")
class DSelectKGate(Gate):
    """A gate that comes to give weight to at most k experts (Hazimeh et al. 2021, DSelect-k, section 3).

    Each of k selectors writes the number of an expert in bits, which are smooth steps of z = Z x + b: where z
    is beyond half of `gamma` a bit is exactly 0 or 1, and between it is some of both. A code's weight is the
    product of its bits' weights, so that once all bits have settled a selector picks one expert. The weights
    of the selectors are a softmax of their own. All of it depends on the example.

    Codes are of ceil(log2(experts)) bits. Where experts are no power of two, the codes left over go round:
    the first of them means the first expert again. So weights always add up to one; the paper leaves these
    codes without an expert, and drives them to zero by a penalty.

    Its weights are `selector_kernel`, shape `(n, k * bits)`, `selector_bias`, `weight_kernel`, shape
    `(n, k)`, and `weight_bias`.

    Args:
        experts: Number of experts.
        k: Number of selectors, from 1 to `experts`.
        gamma: Width of the smooth step.
        entropy_penalty: Factor of the selectors' entropy, summed over the selectors and a mean over the
            examples, among the model's losses: it makes bits settle sooner.
        temperature: What the logits of the selectors' softmax are divided by.
        dropout: Rate at which experts are left out in training, in [0, 1).
        seed: Of the dropout.

    Example:

    >>> gate = mtlkeras.layers.DSelectKGate(experts=4, k=1)
    >>> gate.build((None, 5))
    >>> _ = gate.selector_bias.assign([9.0, -9.0])  # Bits 1 and 0: expert 2 of 0 to 3.
    >>> [float(w) for w in gate(np.zeros((1, 5)))[0]]
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        experts: int,
        k: int = 2,
        gamma: float = 1.0,
        entropy_penalty: float = 0.0,
        temperature: float = 1.0,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(experts, temperature, dropout, seed, **kwargs)
        self.k, self.gamma, self.entropy_penalty = k, gamma, entropy_penalty
        self._bits = max(1, math.ceil(math.log2(experts)))
        self._codes = 2**self._bits

    def build(self, input_shape: Shape) -> None:
        near_half = keras.initializers.RandomUniform(-self.gamma / 100, self.gamma / 100)
        for name, units, initializer in (
            ("selector", self.k * self._bits, near_half),
            ("weight", self.k, keras.initializers.RandomUniform(-0.05, 0.05)),
        ):
            for part, shape in (("kernel", (input_shape[-1], units)), ("bias", (units,))):
                weight = self.add_weight(shape=shape, initializer=initializer.clone(), name=f"{name}_{part}")
                setattr(self, f"{name}_{part}", weight)

    def gate_values(self, inputs: Tensor) -> Tensor:
        return self._weights(inputs, self.selectors(inputs))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        selectors = self.selectors(inputs)
        if self.entropy_penalty:
            entropies = ops.sum(entropy_of(selectors), axis=-1)
            self.add_loss(self.entropy_penalty * ops.sum(entropies) / _at_least_one(ops.shape(entropies)[0]))
        return self._dropped(self._weights(inputs, selectors), training)

    def selectors(self, inputs: Tensor) -> Tensor:
        """Returns the weight that each selector gives each code, shape `(batch, k, codes)`."""
        z = ops.matmul(ops.cast(inputs, "float32"), self.selector_kernel) + self.selector_bias
        steps = smooth_step(ops.reshape(z, (-1, self.k, self._bits)), self.gamma)
        one_or_zero = ops.stack([1.0 - steps, steps], axis=-1)  # (batch, k, bits, 2)
        weights = one_or_zero[:, :, 0]
        for bit in range(1, self._bits):  # The first bit counts most.
            pairs = weights[..., None] * one_or_zero[:, :, bit, None, :]
            weights = ops.reshape(pairs, (-1, self.k, 2 ** (bit + 1)))
        return weights

    def _weights(self, inputs: Tensor, selectors: Tensor) -> Tensor:
        logits = ops.matmul(ops.cast(inputs, "float32"), self.weight_kernel) + self.weight_bias
        shares = _softmax(logits / self.temperature)
        by_code = ops.sum(shares[..., None] * selectors, axis=1)
        means = np.eye(self.experts, dtype="float32")[np.arange(self._codes) % self.experts]
        return ops.matmul(by_code, means)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("k", "gamma", "entropy_penalty")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("mtlkeras")
class GateEntropy(keras.layers.Layer):
    """The entropy of each example's weights in nats, shape `(batch,)`, for weights of shape `(batch, n)`.

    0 where one expert has all of the weight, log(n) where all have the same. A model logs the mean as
    `<name of the layer>`.

    Example:

    >>> float(mtlkeras.layers.GateEntropy()(np.array([[0.0, 1.0]]))[0])
    0.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Tensor) -> Tensor:
        return entropy_of(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[:-1]


def smooth_step(x: Tensor, gamma: float = 1.0) -> Tensor:
    """Returns -2/gamma^3 x^3 + 3/(2 gamma) x + 1/2 between -gamma/2 and gamma/2, 0 below and 1 above."""
    # The slope is 0 at both ends, so clipping is as good as cases, and overflows nowhere.
    x = ops.clip(x / gamma, -0.5, 0.5)
    return x * (1.5 - 2.0 * x * x) + 0.5


def entropy_of(weights: Tensor) -> Tensor:
    """Returns the entropies in nats of weights along the last axis."""
    return ops.sum(weights * -ops.log(ops.maximum(weights, _TINY)), axis=-1)


def _softmax(logits: Tensor) -> Tensor:
    # Keras' own warns of a single logit, as a gate of one expert has.
    weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True)))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def _at_least_one(count: Any) -> Tensor:
    return ops.maximum(ops.cast(count, "float32"), 1.0)
