"""What the tests of the CRF and the HMM share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

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
