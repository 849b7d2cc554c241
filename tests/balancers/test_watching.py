"""Cosines and shares of the gradients that a balancer sees, as `fit` logs them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras import balancers
from mtlkeras.analysis import gradient_cosines
from mtlkeras.balancers import MGDA, CAGrad, GradDrop, MoDo, WatchGradients
from mtlkeras.heads import Regression
from tests.balancers.small import a_batch, a_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype("float32")


def of_numbers(tasks, **compiled):
    """A model whose heads are alike and see the trunk's features as they are."""
    inputs = keras.Input((4,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(3, name="shared")(inputs))
    model = mtlkeras.build_model(keras.Input((4,), name="x"), body, {task: Regression() for task in tasks})
    kernel = RNG.normal(size=(3, 1))
    for task in tasks:
        model.get_layer(f"{task}_logits").set_weights([kernel, np.zeros(1)])
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True, **compiled)
    return model


def test_tasks_that_are_alike_opposed_and_unlabelled():
    tasks = ("a", "same", "opposed", "unknown")
    model = of_numbers(tasks, balancer=WatchGradients())
    answer = np.asarray(model.predict(X, verbose=0)["a"])[:, 0]
    wrong = RNG.normal(size=12).astype("float32")
    y = {"a": answer - wrong, "same": answer - 2 * wrong, "opposed": answer + wrong}
    logs = model.fit(X, {**y, "unknown": np.full(12, np.nan)}, batch_size=12, verbose=0).history
    found = [logs[f"{one}_cosine"][0] for one in ("a_same", "a_opposed", "same_opposed")]
    np.testing.assert_allclose(found, [1, -1, -1], atol=1e-5)
    shares = [logs[f"{task}_gradient_share"][0] for task in tasks[:3]]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=1e-5)
    assert np.isnan(logs["a_unknown_cosine"][0]) and np.isnan(logs["unknown_gradient_share"][0])


def test_an_epochs_mean_counts_the_steps_in_which_both_have_labels():
    model = of_numbers(("a", "b"), balancer=WatchGradients())
    answer = np.asarray(model.predict(X, verbose=0)["a"])[:, 0]
    wrong = np.ones(12, "float32")
    turned = np.repeat([1.0, -1.0, np.nan], 4)  # Three batches: alike, opposed, one without labels of b.
    y = {"a": answer - wrong, "b": answer - turned * wrong}
    logs = model.fit(X, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(logs["a_b_cosine"], [0, 0], atol=1e-5)
    np.testing.assert_allclose(logs["b_gradient_share"], [0.5, 0.5], atol=1e-5)
    np.testing.assert_allclose(logs["a_gradient_share"], [2 / 3, 2 / 3], atol=1e-5)


def test_at_the_parameters_they_are_those_of_a_look():
    x, y = a_batch(12)
    model = a_model(keras.optimizers.SGD(0.0), balancer=WatchGradients(at="parameters"))
    logs = model.fit(x, y, batch_size=12, verbose=0).history
    seen = gradient_cosines(model, (x, y))
    assert logs["kind_size_cosine"][0] == pytest.approx(seen.cosines["all"]["kind", "size"], abs=1e-5)
    assert logs["kind_gradient_share"][0] == pytest.approx(seen.shares["kind"], abs=1e-5)


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_weights_are_those_without_a_balancer(at):
    x, y = a_batch(24)
    y["kind"][::5], y["size"][1::3] = mtlkeras.MISSING, np.nan
    found = []
    for balancer in (None, WatchGradients(at=at)):
        keras.utils.set_random_seed(3)
        model = a_model(keras.optimizers.Adam(0.01), balancer=balancer)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights()[:6])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_other_balancers_log_them_too_in_the_steps_that_they_weigh():
    x, y = a_batch(24)
    found = []
    for watch, every in ((False, 2), (True, 2), (True, 1)):
        keras.utils.set_random_seed(3)
        model = a_model("sgd", balancer=MGDA(watch=watch, every=every))
        logs = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        found.append((model.get_weights()[0], logs))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert "kind_size_cosine" not in found[0][1]
    for _, logs in found[1:]:
        np.testing.assert_allclose(
            np.add(logs["kind_gradient_share"], logs["size_gradient_share"]), 1, atol=1e-5
        )
        assert np.abs(logs["kind_size_cosine"]).max() <= 1
    assert found[1][1]["kind_size_cosine"] != found[2][1]["kind_size_cosine"]


@pytest.mark.parametrize("level", ["representation", "parameters"])
def test_a_step_that_is_not_finite_is_not_counted(level):
    x, y = a_batch(8)
    x[4:] = np.inf
    found = []
    for rows in (8, 4):
        keras.utils.set_random_seed(3)
        model = a_model(keras.optimizers.SGD(0.0), balancer=WatchGradients(at=level))
        labels = {task: values[:rows] for task, values in y.items()}
        logs = model.fit(x[:rows], labels, batch_size=4, shuffle=False, verbose=0).history
        found.append([logs["kind_size_cosine"][0], logs["kind_gradient_share"][0]])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.parametrize("cls", [GradDrop, MoDo])
def test_balancers_that_see_no_such_products_refuse(cls):
    with pytest.raises(ValueError, match=f"{cls.__name__} does not look at inner products.*GradientCosines"):
        cls(watch=True)


def test_bad_values_are_told():
    with pytest.raises(ValueError, match="WatchGradients: watch must be True"):
        WatchGradients(watch=False)
    with pytest.raises(ValueError, match="CAGrad: watch must be True or False; received 'yes'"):
        CAGrad(watch="yes")
    assert balancers.WatchGradients(at="parameters").weights([[1.0, -2.0], [-2.0, 9.0]]).shape == (2,)


def test_there_are_no_weights_to_log():
    x, y = a_batch(8)
    model = a_model("sgd", balancer=WatchGradients())
    logs = model.fit(x, y, batch_size=4, verbose=0).history
    assert not [name for name in logs if name.endswith("_weight")]
    assert {"kind_size_cosine", "kind_gradient_share", "size_gradient_share"} <= logs.keys()


def test_a_single_task_trains_as_without():
    with pytest.warns(UserWarning, match="has a single task to balance"):
        model = of_numbers(("a",), balancer=WatchGradients())
    assert model.fit(X, {"a": X[:, 0]}, verbose=0).history["loss"][0] > 0


def test_every_other_step_can_be_left_out():
    model = of_numbers(("a", "b"), balancer=WatchGradients(every=2))
    answer = np.asarray(model.predict(X, verbose=0)["a"])[:, 0]
    turned = np.repeat([1.0, -1.0, 1.0], 4)  # Alike, opposed, alike: the second is not looked at.
    logs = model.fit(
        X, {"a": answer - 1, "b": answer - turned}, batch_size=4, shuffle=False, verbose=0
    ).history
    np.testing.assert_allclose(logs["a_b_cosine"], [1], atol=1e-5)
