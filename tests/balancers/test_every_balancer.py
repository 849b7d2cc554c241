"""What holds for every balancer: build, fit, save, load, go on, tune, mixed precision, bad fields."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras import balancers
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras.balancers.base import Balancer, GradientBalancer
from mtlkeras.specs import spec
from tests.balancers.small import a_batch, a_model, slow_but_for_some
from tests.support import EAGERLY, examples, tiny_model

BASES = ("Balancer", "GradientBalancer", "GramBalancer", "LossBalancer", "ElementBalancer", "PairBalancer")
PUBLIC = [getattr(balancers, name) for name in balancers.__all__ if name not in BASES]
CLASSES = [cls for cls in PUBLIC if issubclass(cls, Balancer)]
BY_GRADIENTS = [cls for cls in CLASSES if issubclass(cls, GradientBalancer)]


def made(cls, **fields):
    """A balancer with a seed where it draws, at the level that it needs."""
    if "seed" in cls.field_names():
        fields = {"seed": 7, **fields}
    return cls(**fields)


def cases():
    for cls in CLASSES:
        yield slow_but_for_some(made(cls))
        if issubclass(cls, GradientBalancer) and made(cls).at == "representation":
            # The level is the same code for all: here one with memory, one without.
            quick = cls in (balancers.PCGrad, balancers.GradNorm)
            yield pytest.param(made(cls, at="parameters"), marks=() if quick else pytest.mark.slow)


def batches():
    """Two batches of which some labels are missing."""
    x, y = a_batch(24)
    y["kind"][::5], y["size"][1::3] = mtlkeras.MISSING, np.nan
    return x, y


@pytest.mark.tensorflow  # On JAX there is nothing but graphs.
@pytest.mark.parametrize("balancer", [slow_but_for_some(made(cls)) for cls in CLASSES])
def test_a_graph_takes_the_steps_that_there_are_without_one(balancer):
    x, y = batches()
    found = []
    for eagerly in (True, False):
        keras.utils.set_random_seed(0)
        model = a_model(keras.optimizers.Adam(1e-3), balancer=balancer, run_eagerly=eagerly)
        logs = model.fit(x, y, batch_size=12, epochs=2, shuffle=False, verbose=0).history
        found.append((*model.get_weights(), *logs.values()))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("balancer", list(cases()), ids=repr)
def test_balancer_trains_travels_and_goes_on(balancer, tmp_path):
    x, y = batches()
    model = a_model(keras.optimizers.SGD(0.01, momentum=0.9), balancer=balancer)
    fit = {"batch_size": 12, "shuffle": False, "verbose": 0}
    logs = model.fit(x, y, epochs=2, **fit).history
    for task in model.heads:
        assert np.isfinite(logs[f"{task}_weight"]).all() and np.isfinite(logs[f"{task}_loss"]).all()
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.balancing.balancer == balancer
    again.run_eagerly = EAGERLY
    for mine, theirs in zip(model.balancing.variables, again.balancing.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    one, two = model.fit(x, y, **fit).history, again.fit(x, y, **fit).history
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_tune_gives_the_default_and_takes_settings(cls):
    hp = HyperParameters()
    assert cls.tune(hp) == cls()
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cls())) == cls()
    if issubclass(cls, balancers.GramBalancer):
        assert cls.tune(HyperParameters(), every=4).every == 4
    for name, value in hp.values.items():
        if isinstance(value, float):
            assert getattr(cls.tune(HyperParameters({name: str(value)})), name) == value


@pytest.mark.slow
@pytest.mark.parametrize("balancer", list(cases()), ids=repr)
def test_mixed_precision(balancer):
    keras.config.set_dtype_policy("mixed_float16")
    x, y = examples(24, missing=0.3)
    logs = tiny_model(optimizer="adam", balancer=balancer).fit(x, y, batch_size=12, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())


@pytest.mark.parametrize(
    "cls", [c for c in CLASSES if issubclass(c, GradientBalancer)], ids=lambda c: c.__name__
)
def test_bad_fields_of_gradient_balancers(cls):
    with pytest.raises(ValueError, match="Did you mean 'parameters'"):
        cls(at="parameter")
    with pytest.raises(ValueError, match="every must be a whole number"):
        cls(every=0)
    with pytest.raises(ValueError, match="gram_fraction must be in"):
        cls(gram_fraction=0.0)


@spec
class NoNumberLater(balancers.GramBalancer):
    """Gives the second task a weight of NaN in the second step."""

    def memory(self, heads):
        return {"seen": np.zeros((), "float32")}

    def solve(self, problem):
        seen = problem.memory["seen"] + 1.0
        bad = ops.logical_and(seen > 1.5, ops.arange(problem.present.shape[0]) == 1)
        return ops.where(bad, float("nan"), problem.present), {"seen": seen}


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_weights_of_nan_are_told_by_task_and_step(at):
    x, y = examples(24)
    model = tiny_model(optimizer=keras.optimizers.SGD(0.1), balancer=NoNumberLater(at=at))
    task = list(model.heads)[1]
    watch = mtlkeras.training.StopOnNonFinite()
    told = f"balancer's weight of task '{task}' is NaN or infinite after step 2 of epoch 1"
    with pytest.raises(FloatingPointError, match=told):
        model.fit(x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[watch])


def test_loss_that_spoils_all_weights_is_told():
    x, y = examples(24)
    y["size"][13] = 1e30  # Its square is infinite.
    model = tiny_model(optimizer=keras.optimizers.SGD(0.1), balancer=balancers.GLS())
    watch = mtlkeras.training.StopOnNonFinite()
    with pytest.raises(FloatingPointError, match="loss of task 'size' is NaN .* step 2 of epoch 1"):
        model.fit(x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[watch])


def test_training_goes_on_from_a_backup_as_if_never_stopped(tmp_path):
    x, y = a_batch(24)
    found = []
    for stops in (False, True):
        keras.utils.set_random_seed(0)
        backups = tmp_path / f"{stops}.npz"
        for epochs in (2, 4) if stops else (4,):
            keras.utils.set_random_seed(0)
            balancer = balancers.GradVac(seed=3, beta=0.3)
            model = a_model(keras.optimizers.Adam(0.01), balancer=balancer)
            backup = mtlkeras.training.Backup(backups)
            fit = {"batch_size": 12, "shuffle": False, "verbose": 0, "callbacks": [backup]}
            model.fit(x, y, epochs=epochs, initial_epoch=backup.epoch, **fit)
        found.append([np.asarray(v) for v in model.variables])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
