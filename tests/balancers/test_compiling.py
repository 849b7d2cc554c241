"""What a balancer goes with: recompiling, callbacks, epochs, losses of the caller's own, saved weights."""

import keras
import numpy as np
import pytest
from keras import ops, optimizers

import mtlkeras
from mtlkeras.balancers import (
    DWA,
    FAMO,
    IMTLL,
    LDCMTL,
    MGDA,
    CAGrad,
    ExcessMTL,
    Fixed,
    GradDrop,
    GradNorm,
    Uncertainty,
)
from tests.balancers.small import a_batch, a_model, numbers
from tests.support import EAGERLY

pytestmark = pytest.mark.slow_on_jax

LEVELS = ("representation", "parameters")


def memory(model, name):
    return ops.convert_to_numpy(model.balancing.memory()[name])


def test_optimizer_in_use_goes_on_with_another_balancer(tmp_path):
    x, y = a_batch()
    optimizer, plain = optimizers.SGD(0.1, momentum=0.9), optimizers.SGD(0.1, momentum=0.9)
    model, other = a_model(optimizer), a_model(plain)
    other.set_weights(model.get_weights())
    neutral = [
        None,
        Fixed(),
        GradNorm(),
        None,
        GradDrop(leak=1.0, seed=1),
        GradNorm(at="parameters"),
        Fixed(),
    ]
    for place, balancer in enumerate(neutral):  # Of which the first step is that without one.
        model.compile(model.optimizer, balancer=balancer, run_eagerly=EAGERLY)
        assert model.optimizer is optimizer
        model.train_on_batch(x, y)
        other.train_on_batch(x, y)
        for mine, theirs in zip(model.trainable_variables, other.trainable_variables, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
        if place in (2, 4):
            model.save(tmp_path / f"{place}.keras")
            again = mtlkeras.load_model(tmp_path / f"{place}.keras")
            mine, theirs = (
                numbers([*m.variables, *m.optimizer.variables, *m.balancing.remembered])
                for m in (model, again)
            )
            for one, two in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("cls", [Uncertainty, IMTLL, LDCMTL])
def test_optimizer_in_use_does_not_know_what_a_balancer_trains(cls):
    x, y = a_batch()
    for first, second in ((None, cls()), (cls(), None), (cls(), cls())):
        model = a_model(balancer=first)
        model.train_on_batch(x, y)
        with pytest.raises(ValueError, match="what a balancer trains .* Pass a new one"):
            model.compile(model.optimizer, balancer=second)
        model.compile(type(model.optimizer)(0.1), balancer=second, run_eagerly=EAGERLY)
        model.train_on_batch(x, y)


def test_callbacks_come_back_as_they_were_given():
    x, y = a_batch()
    model = a_model(balancer=ExcessMTL())
    mine = [keras.callbacks.LambdaCallback()]
    for _ in range(2):
        model.fit(x, y, epochs=2, verbose=0, callbacks=mine)
    assert len(mine) == 1 and memory(model, "epoch") == 4.0
    several = keras.callbacks.CallbackList(mine, add_history=True, model=model, epochs=2, verbose=0, steps=1)
    before = list(several.callbacks)
    for _ in range(2):
        model.fit(x, y, epochs=2, verbose=0, callbacks=several)
    assert several.callbacks == before and memory(model, "epoch") == 8.0
    model.fit(x, y, verbose=0, callbacks=mine[0])
    assert memory(model, "epoch") == 9.0


def test_epochs_of_a_loop_of_the_callers_own():
    x, y = a_batch()
    found = []
    for loop in (False, True):
        keras.utils.set_random_seed(0)
        model = a_model(optimizers.SGD(0.1), balancer=DWA(temperature=0.1))
        if loop:
            for _ in range(4):
                model.begin_epoch()
                model.train_on_batch(x, y)
        else:
            model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0)
        found.append(numbers([*model.trainable_variables, *model.balancing.remembered]))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert abs(memory(model, "weights") - 1).max() > 1e-3
    model.compile("sgd")
    model.begin_epoch()  # Without a balancer there is nothing to tell.


class Longer(mtlkeras.MultiTaskModel):
    """Adds half of the squared weights of the trunk, by the hook of Keras."""

    def compute_loss(self, *args, **kwargs):
        kernel = ops.convert_to_tensor(self.trunk.trainable_variables[0])
        return super().compute_loss(*args, **kwargs) + 0.5 * ops.sum(ops.square(kernel))


class Another(mtlkeras.MultiTaskModel):
    """Has a loss that knows of no tasks."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(ops.sum(ops.square(ops.cast(value, "float32"))) for value in y_pred.values())


@pytest.mark.parametrize("balancer", [DWA(), MGDA()], ids=repr)
def test_overridden_loss_counts_in_full(balancer):
    x, y = a_batch()
    model = a_model(optimizers.SGD(1.0))
    start = model.get_weights()
    found = []
    for cls in (None, Longer):
        model = a_model(optimizers.SGD(1.0), cls, balancer=balancer)
        for variable, value in zip(model.trainable_variables, start, strict=False):
            variable.assign(value)
        model.train_on_batch(x, y)
        found.append(numbers(model.trunk.trainable_variables))
    np.testing.assert_allclose(
        found[1][0] - found[0][0], -start[0], atol=1e-5
    )  # The gradient of W^2 / 2 is W.
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-6)


def test_overridden_loss_is_never_passed_over():
    x, y = a_batch()
    for cls in (Longer, Another):
        with pytest.raises(ValueError, match=f"would pass over compute_loss of {cls.__name__}"):
            a_model(cls=cls, balancer=MGDA(at="parameters"))
    for balancer in (FAMO(), CAGrad()):
        model = a_model(cls=Another, balancer=balancer)
        with pytest.raises(ValueError, match="was not asked for weights"):
            model.train_on_batch(x, y)


@keras.saving.register_keras_serializable("tests")
class Pull(keras.layers.Layer):
    """Adds the mean of what passes to the loss, `factor` times."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        self.add_loss(self.factor * ops.mean(ops.sum(inputs, axis=-1)))
        return inputs


@pytest.mark.parametrize(
    "balancer", [None, Fixed(), CAGrad(), CAGrad(at="parameters"), GradDrop(seed=1)], ids=repr
)
def test_losses_that_layers_add_reach_the_gradient(balancer):
    x, y = a_batch()
    found = []
    for factor in (0.0, 2.0):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,), name="x")
        body = keras.Model(inputs, Pull(factor)(keras.layers.Dense(3, name="shared")(inputs)))
        heads = {"kind": mtlkeras.heads.Classification(3), "size": mtlkeras.heads.Regression()}
        model = mtlkeras.build_model(keras.Input((4,), name="x"), body, heads)
        model.compile(optimizers.SGD(1.0), balancer=balancer, run_eagerly=EAGERLY)
        model.train_on_batch(x, y)
        found.append(numbers(model.trunk.trainable_variables))
    # 2 mean(sum(xW + b)) has the gradient 2 mean(x) by each column of W, and 2 by b.
    np.testing.assert_allclose(found[1][0] - found[0][0], -2 * np.tile(x.mean(0)[:, None], 3), atol=1e-5)
    np.testing.assert_allclose(found[1][1] - found[0][1], -2.0, atol=1e-5)


def test_saved_weights_of_another_balancer_are_told(tmp_path):
    def saved(balancer, name):
        model = a_model(balancer=balancer)
        model.train_on_batch(*a_batch())
        model.save_weights(tmp_path / name)
        return model

    first = saved(GradNorm(), "one.weights.h5")
    plain = saved(None, "none.weights.h5")
    same = a_model(balancer=GradNorm(at="parameters"))
    same.load_weights(tmp_path / "one.weights.h5")  # What it remembers does not depend on the level.
    for name, variable in first.balancing.state.items():
        np.testing.assert_array_equal(same.balancing.state[name], variable, err_msg=name)
    other = a_model(balancer=ExcessMTL())
    with pytest.warns(
        UserWarning, match="saved with the balancer GradNorm, and the model has ExcessMTL.*first, "
    ):
        other.load_weights(tmp_path / "one.weights.h5")
    np.testing.assert_array_equal(other.trainable_variables[0], first.trainable_variables[0])
    np.testing.assert_array_equal(memory(other, "task_weights"), 1.0)
    with pytest.warns(
        UserWarning, match="saved with no balancer, and the model has ExcessMTL: ExcessMTL begins"
    ):
        other.load_weights(tmp_path / "none.weights.h5")
    with pytest.warns(UserWarning, match="saved with the balancer GradNorm, and the model has none"):
        plain.load_weights(tmp_path / "one.weights.h5")


def test_number_of_tasks_must_be_that_of_the_saved_balancer():
    one, two = a_model(balancer=GradNorm()).balancing, {}
    one.save_own_variables(two)
    two = {name: value[:1] if value.shape else value for name, value in two.items()}
    with pytest.raises(ValueError, match="saved with GradNorm of 1 tasks; the model has 2: kind, size"):
        one.load_own_variables(two)


def test_what_is_remembered_are_variables_with_names():
    model = a_model(balancer=GradNorm())
    balancing, store = model.balancing, {}
    assert {v.path for v in balancing.remembered} == {
        f"balancing/{name}" for name in ("weights", "step", "task_weights", "first")
    }
    assert not {id(v) for v in balancing.remembered} & {id(v) for v in model.trainable_variables}
    balancing.state["task_weights"].assign([1.5, 0.5])
    balancing.state["first"].assign([2.0, 3.0])
    balancing.save_own_variables(store)
    # What a later version remembers beside that begins as new, and the rest is taken over.
    del store["first"]
    other = a_model(balancer=GradNorm()).balancing
    with pytest.warns(UserWarning, match="Of what GradNorm remembered was not taken over: first"):
        other.load_own_variables(store)
    np.testing.assert_array_equal(other.state["task_weights"], [1.5, 0.5])
    np.testing.assert_array_equal(other.state["first"], [0.0, 0.0])


def test_accumulation_is_warned_of_or_refused():
    accumulating = optimizers.SGD(0.1, gradient_accumulation_steps=4)
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(0.1, gradient_accumulation_steps=4))
    found = [accumulating, scaled]
    if hasattr(optimizers, "MultiOptimizer"):  # From Keras 3.15 on.
        by_name = optimizers.OptimizerMap(optimizers.SGD(0.1), {"shared/.*": accumulating})
        found.append(optimizers.MultiOptimizer(by_name))
    for optimizer in found:
        for balancer in (None, DWA()):
            with pytest.warns(UserWarning, match="gradient_accumulation_steps=4 .* labels are missing"):
                a_model(optimizer, balancer=balancer)
        for level in LEVELS:
            with pytest.raises(ValueError, match="does not go with gradient_accumulation_steps"):
                a_model(optimizer, balancer=MGDA(at=level))
