"""Balancers with optimizers of every kind: what the optimizer does is what it does without a balancer."""

import numpy as np
import pytest
from keras import optimizers

from mtlkeras.balancers import Fixed, GradDrop, GramBalancer, PairBalancer
from mtlkeras.specs import spec
from tests.balancers.small import a_batch, a_model, numbers
from tests.support import EAGERLY


@spec
class Ones(GramBalancer):
    """Weighs all tasks alike, and counts."""

    def memory(self, heads):
        return {"seen": np.zeros((), "float32")}

    def solve(self, problem):
        return problem.present, {"seen": problem.memory["seen"] + 1.0}


@spec
class PairOfOnes(PairBalancer):
    """As `Ones`, with the halves of a batch."""

    def solve(self, problem):
        return problem.present, {}


# One of each kind, such that a step is that without a balancer.
NEUTRAL = [Fixed(), Ones(), Ones(at="parameters"), GradDrop(leak=1.0, seed=1), PairOfOnes()]
OPTIMIZERS = {
    "EMA": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "EMA without overwriting": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "AdamW": lambda: optimizers.AdamW(0.01, weight_decay=0.5),
    "clipnorm": lambda: optimizers.SGD(0.1, momentum=0.9, clipnorm=0.1),
    "clipvalue": lambda: optimizers.SGD(0.1, clipvalue=0.01),
    "global_clipnorm": lambda: optimizers.SGD(0.1, global_clipnorm=0.1, weight_decay=0.1),
    "loss scaling": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01, use_ema=True), 8.0),
    "several": lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.SGD(0.1), {"shared/.*": optimizers.Adam(0.01)})
    ),
    "several, scaled": lambda: optimizers.LossScaleOptimizer(
        optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(0.1, momentum=0.5), {}))
    ),
    "Muon": lambda: optimizers.Muon(0.01),
    "Lion": lambda: optimizers.Lion(0.01),
    "Adafactor": lambda: optimizers.Adafactor(0.01),
    "schedule": lambda: optimizers.RMSprop(optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)),
}


def excluded():
    optimizer = optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias", "state"])
    return optimizer


OPTIMIZERS["excluded from decay"] = excluded


# Which differ in how they meet a balancer; the others are like one of them.
QUICK = ("EMA", "AdamW", "loss scaling", "several")
ON_JAX = ("loss scaling", "several")


def marks(name):
    return pytest.mark.slow if name not in QUICK else () if name in ON_JAX else pytest.mark.slow_on_jax


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in OPTIMIZERS])
def test_optimizer_does_what_it_does_without_a_balancer(name):
    if "several" in name and not hasattr(optimizers, "MultiOptimizer"):
        pytest.skip("Keras has MultiOptimizer from 3.15 on.")
    x, y = a_batch()
    model, found = a_model(), []
    start = numbers(model.trainable_variables)
    for balancer in (None, *NEUTRAL):
        model.compile(OPTIMIZERS[name](), run_eagerly=EAGERLY, balancer=balancer)
        for variable, value in zip(model.trainable_variables, start, strict=True):
            variable.assign(value)
        for _ in range(2):
            model.train_on_batch(x, y)
        found.append((numbers(model.trainable_variables), numbers(model.optimizer.variables)))
        assert not any("balancing" in v.path for v in model.optimizer.variables)
        if isinstance(balancer, Ones):
            assert float(model.balancing.memory()["seen"]) == 2.0  # Neither decayed, averaged nor clipped.
    assert abs(found[0][0][0] - start[0]).max() > 1e-4
    # An optimizer that divides by a gradient's length makes rounding of nearly none of it large.
    for balancer, (weights, slots) in zip(NEUTRAL, found[1:], strict=True):
        for mine, theirs in zip(weights + slots, found[0][0] + found[0][1], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=2e-4, err_msg=repr(balancer))
