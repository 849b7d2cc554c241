"""The smallest model with two tasks, for tests of many cases."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras.heads import Classification, Regression
from tests.support import EAGERLY


def a_model(optimizer="sgd", cls=None, **compile_args):
    """A linear trunk and two heads, trained op by op: tracing would take the time of a hundred steps."""
    inputs = keras.Input((4,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(3, name="shared")(inputs))
    heads = {"kind": Classification(3), "size": Regression()}
    model = mtlkeras.build_model(keras.Input((4,), name="x"), body, heads)
    if cls is not None:
        model = cls(model.inputs[0], model.output)
    model.compile(optimizer, **{"run_eagerly": EAGERLY, **compile_args})
    return model


def a_batch(rows=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, {"kind": np.arange(rows) % 3, "size": rng.normal(size=rows).astype("float32")}


# A family of balancers has one training step: with these it is seen in every run of the tests.
OF_EACH_FAMILY = (
    "DWA", "FAMO", "Uncertainty", "CAGrad", "GradNorm", "MoDo", "GradDrop"
)  # fmt: skip


# And with these, where each is compiled for seconds.
ON_JAX = ("DWA", "CAGrad", "MoDo")


def slow_but_for_some(balancer):
    """The balancer as a test's parameter, for tests of what its family does with its weights."""
    marks = [] if type(balancer).__name__ in OF_EACH_FAMILY else [pytest.mark.slow]
    return pytest.param(balancer, marks=[*marks, *slow_on_jax(balancer)], id=repr(balancer))


def slow_on_jax(balancer):
    """The marks of a balancer, for tests of its own solver."""
    return [] if type(balancer).__name__ in ON_JAX else [pytest.mark.slow_on_jax]


def numbers(variables):
    return [ops.convert_to_numpy(v) for v in variables]
