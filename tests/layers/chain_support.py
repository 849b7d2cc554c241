"""What the tests of the CRF and the HMM share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._backends import compiled

LENGTH, ROWS = 6, 10


def random_masks(rng: np.random.Generator) -> np.ndarray:
    """Padding at the end, at the beginning, gaps, one step, none, all."""
    steps = np.arange(LENGTH)
    named = [steps < 4, steps >= 2, steps % 2 == 0, steps == 3, steps < 0, steps >= 0]
    return np.concatenate([named, rng.random((ROWS - len(named), LENGTH)) < 0.6])


def numbers(x) -> np.ndarray:
    return ops.convert_to_numpy(x).astype("float64")


def gradients(variables: list, loss: Callable[..., Any], *inputs: Any) -> list[np.ndarray]:
    """The gradients of `loss(*inputs)` with regard to the inputs and the variables."""
    inputs_count = len(inputs)
    values = [ops.convert_to_tensor(x) for x in inputs]
    values += [ops.convert_to_tensor(numbers(variable).astype("float32")) for variable in variables]

    def computed(*values):
        new = values[inputs_count:]
        with keras.StatelessScope(state_mapping=list(zip(variables, new, strict=True))):
            return loss(*values[:inputs_count])

    if keras.backend.backend() == "jax":
        import jax

        found = jax.jit(jax.grad(computed, argnums=tuple(range(len(values)))))(*values)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            result = computed(*values)
        found = tape.gradient(result, values)
    return [numbers(g) for g in found]


def finite_differences(loss, values: list[np.ndarray], step: float = 1e-5) -> list[np.ndarray]:
    found = []
    for place, value in enumerate(values):
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            sides = []
            for sign in (1, -1):
                moved = [v.copy() for v in values]
                moved[place][index] += sign * step
                sides.append(loss(*moved))
            gradient[index] = (sides[0] - sides[1]) / (2 * step)
        found.append(gradient)
    return found


def stateless(layer: keras.layers.Layer, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function compiled once for all weights of a layer, with what it gives as float64 arrays."""

    @compiled
    def run(weights: list, *inputs: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(layer.weights, weights, strict=True))):
            return function(*inputs)

    def call(*inputs: Any) -> Any:
        weights = [ops.convert_to_tensor(numbers(weight), "float32") for weight in layer.weights]
        return keras.tree.map_structure(numbers, run(weights, *map(ops.convert_to_tensor, inputs)))

    return call


def gradient_function(layer: keras.layers.Layer, loss: Callable[..., Any]) -> Callable[..., list[np.ndarray]]:
    """Returns a function compiled once for the gradients of `loss(x, *others)` by x and all weights."""

    def computed(x: Any, weights: list, *others: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(layer.weights, weights, strict=True))):
            return loss(x, *others)

    if keras.backend.backend() == "jax":
        import jax

        run = jax.jit(jax.grad(computed, argnums=(0, 1)))
    else:
        import tensorflow as tf

        @tf.function(autograph=False)
        def run(x, weights, *others):
            with tf.GradientTape() as tape:
                tape.watch([x, *weights])
                value = computed(x, weights, *others)
            found = tape.gradient(value, [x, *weights])
            return found[0], found[1:]

    def call(x: Any, *others: Any) -> list[np.ndarray]:
        weights = [ops.convert_to_tensor(numbers(weight), "float32") for weight in layer.weights]
        values = [ops.convert_to_tensor(value) for value in (x, *others)]
        x_gradient, of_weights = run(values[0], weights, *values[1:])
        return [numbers(gradient) for gradient in (x_gradient, *of_weights)]

    return call
