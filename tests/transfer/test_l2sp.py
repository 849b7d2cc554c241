"""A penalty that holds a trunk near its start."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import PLE
from mtlkeras.transfer import L2SP, reuse_trunk
from mtlkeras.trunks import MLP
from tests.support import EAGERLY, TinyStages

pytestmark = pytest.mark.eager

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = {"a": X.sum(1), "b": np.array([0, 1, 1, 0, -1, 1, 0, 0])}
HEADS = {"a": Regression(), "b": Classification(2)}
TRUNK = MLP(depth=2, width=3, activation="tanh", normalization="batch")


def trained(trunk=TRUNK):
    return mtlkeras.build_model((4,), trunk, {"old": Regression()})


def reused(old, **fields):
    return reuse_trunk(old, HEADS, penalty=L2SP(**{"alpha": 0.5, "beta": 0.0, **fields}))


def distance(model, old):
    pairs = zip(model.trunk.trainable_weights, old.trunk.trainable_weights, strict=True)
    return sum(float(np.square(keras.ops.convert_to_numpy(a - b)).sum()) for a, b in pairs)


def moved(model, by=0.25):
    for variable in model.trunk.trainable_weights:
        variable.assign(variable + by)
    return model


def penalty(model):
    """What `evaluate` counts beside the tasks' losses."""
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    return logs["loss"] - logs["a_loss"] - logs["b_loss"]


def test_penalty_is_that_of_the_paper():
    old = trained()
    model = moved(reused(old, alpha=0.3, beta=0.2))
    model.compile("sgd", run_eagerly=EAGERLY)
    kernels = [model.get_layer(f"{task}_logits").get_weights()[0] for task in "ab"]
    expected = 0.15 * distance(model, old) + 0.1 * sum(np.square(k).sum() for k in kernels)
    assert distance(model, old) > 1
    assert penalty(model) == pytest.approx(expected, rel=1e-5)


def test_step_is_that_of_the_gradient():
    """With loss weights of 0, w - w0 shrinks by 1 - rate * alpha."""
    old = trained()
    model = moved(reused(old))
    before = distance(model, old)
    model.compile(keras.optimizers.SGD(0.4), loss_weights={"a": 0.0, "b": 0.0}, run_eagerly=EAGERLY)
    model.train_on_batch(X, Y)
    assert distance(model, old) == pytest.approx(before * (1 - 0.4 * 0.5) ** 2, rel=1e-4)


def test_start_is_saved_and_loaded(tmp_path):
    old = trained()
    model = moved(reused(old))
    model.compile("sgd", run_eagerly=EAGERLY)
    model.save(tmp_path / "held.keras")
    again = mtlkeras.load_model(tmp_path / "held.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.compile("sgd", run_eagerly=EAGERLY)
    assert penalty(model) > 0.1
    for other in (again, clone):
        assert penalty(other) == pytest.approx(penalty(model), rel=1e-6)


def test_what_is_frozen_is_not_held():
    model = moved(reused(trained()))
    model.trunk.trainable = False
    model.compile("sgd", run_eagerly=EAGERLY)
    assert penalty(model) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_balancers_leave_the_penalty_as_it_is(at):
    old = trained()
    model = moved(reused(old))
    before = distance(model, old)
    balancer = mtlkeras.balancers.PCGrad(at=at)
    nothing = {"a": 0.0, "b": 0.0}
    model.compile(keras.optimizers.SGD(0.4), loss_weights=nothing, balancer=balancer, run_eagerly=EAGERLY)
    model.train_on_batch(X, Y)
    assert distance(model, old) == pytest.approx(before * (1 - 0.4 * 0.5) ** 2, rel=1e-4)


def test_activations_computed_again():
    trunk = MLP(depth=2, width=3, remat=True)
    old = trained(trunk)
    model = moved(reused(old))
    before = distance(model, old)
    model.compile(keras.optimizers.SGD(0.4), loss_weights={"a": 0.0, "b": 0.0}, run_eagerly=EAGERLY)
    model.train_on_batch(X, Y)
    assert model.trunk.segments.segments
    assert distance(model, old) == pytest.approx(before * (1 - 0.4 * 0.5) ** 2, rel=1e-4)


def test_weights_of_many_parts_are_those_that_they_were(tmp_path):
    """Experts in parts, tensors from several places: each start belongs to its weight, loaded too."""
    heads = {"a": Regression(at="conv"), "b": Classification(2)}
    old = mtlkeras.build_model((6, 6, 1), TinyStages(), {"a": Regression()}, PLE())
    model = reuse_trunk(old, heads, penalty=L2SP(0.5, 0.0))
    model.save(tmp_path / "held.keras")
    for one in (model, mtlkeras.load_model(tmp_path / "held.keras")):
        point = one.trunk.starting_point
        assert float(point.penalty(one.trunk)) == 0.0
        # The shared expert's two convolutions, and the expert of the task that both know.
        assert len(point.places) >= 8
        for variable in point.among(one.trunk):
            variable.assign(variable + 1.0)
        count = sum(int(np.prod(v.shape)) for v in point.among(one.trunk))
        assert float(point.penalty(one.trunk)) == pytest.approx(0.25 * count, rel=1e-5)


def test_a_held_trunk_is_used_again():
    model = reused(reused(trained()))
    assert [layer.name for layer in model.trunk.layers if "starting" in layer.name] == ["starting_point"]
