"""Balancers that look at two halves of a batch, against their formulas and single halves' gradients."""

import functools

import keras
import numpy as np
import pytest
import scipy.optimize
from keras import ops

import mtlkeras
from mtlkeras._backends import compiled
from mtlkeras.balancers import MoDo, SDMGrad
from mtlkeras.balancers._solvers import onto_simplex
from mtlkeras.balancers.base import Problem
from tests.balancers.test_levels import plain_step, problem, step, task_changes
from tests.support import EAGERLY, examples, tiny_model


def pair(seed, count=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, count, 7)).astype("float32")


def project(point):
    return np.asarray(onto_simplex(point.astype("float32"), np.ones(len(point), "float32")))


def test_modo_takes_a_step_to_the_shortest_combination():
    one, two = pair(0)
    products, w = one @ two.T, np.full(3, 1 / 3)
    expected = project(w - 0.5 * (products / abs(products).max() @ w + 0.1 * w))
    np.testing.assert_allclose(MoDo(gamma=0.5, rho=0.1).weights(products), expected, atol=1e-6)


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_sdmgrad_solves_its_problem_where_both_halves_agree(strength):
    balancer, preferred, ones = (
        SDMGrad(strength=strength, steps=40),
        np.full(3, 1 / 3, "float32"),
        np.ones(3, "float32"),
    )

    def go_on(gram, simplex):
        weights, memory = balancer.solve(Problem(ones, ones, preferred, {"simplex": simplex}, gram=gram))
        return weights, memory["simplex"]

    go_on = compiled(go_on)
    for seed in range(5):
        one, _ = pair(seed)
        gram, simplex = one @ one.T / (one @ one.T).max(), preferred
        for _ in range(10):  # Steps go on from the weights of the batch before.
            found, simplex = go_on(ops.convert_to_tensor(gram), ops.convert_to_tensor(simplex))

        def length(w, gram=gram):
            return (w + strength * preferred) @ gram @ (w + strength * preferred)

        best = scipy.optimize.minimize(
            length,
            preferred,
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            tol=1e-12,
        )
        np.testing.assert_allclose(found, (best.x + strength * preferred) / (1 + strength), atol=2e-3)


def test_sdmgrad_of_great_strength_is_the_preferred_combination():
    one, two = pair(3, count=2)
    balancer = SDMGrad(strength=1e6, preference=(3.0, 1.0))
    np.testing.assert_allclose(balancer.weights(one @ two.T), [0.75, 0.25], atol=1e-5)


@pytest.mark.parametrize("cls", [MoDo, SDMGrad])
def test_permuting_tasks_permutes_weights_and_no_gradients_keep_them(cls):
    one, two = pair(1)
    order = [2, 0, 1]
    weights = np.asarray(cls().weights(one @ two.T))
    np.testing.assert_allclose(cls().weights(one[order] @ two[order].T), weights[order], atol=1e-6)
    for scale in (1e-12, 1e12):
        np.testing.assert_allclose(cls().weights(one * scale @ two.T), weights, atol=1e-4)
    np.testing.assert_allclose(cls().weights(np.zeros((3, 3))), 1 / 3, atol=1e-6)


@functools.cache
def changes_of_halves():
    """Each task's change of the trunk by every second row, as `problem` has those of all rows."""
    start, y, _ = problem(missing=0.3)
    halves = []
    for half in (0, 1):
        part = {task: values.copy() for task, values in y.items()}
        for values in part.values():
            values[1 - half :: 2] = np.nan if values.dtype.kind == "f" else mtlkeras.MISSING
        halves.append(task_changes(start, part))
    return halves


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("balancer", [MoDo(gamma=0.5), SDMGrad(gamma=0.5)], ids=repr)
def test_step_takes_the_products_of_the_halves_and_the_gradients_of_the_whole(balancer):
    (start, y, alone), halves = problem(missing=0.3), changes_of_halves()
    changes, logs, model = step(start, y, balancer=balancer)
    logged = np.array([logs[f"{task}_weight"] for task in model.heads])
    np.testing.assert_allclose(logged, balancer.weights(halves[0] @ halves[1].T), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(changes[0][0].ravel(), logged @ alone, atol=3e-6)
    plain, plain_logs = plain_step(missing=0.3)
    for mine, theirs in zip(changes[1:], plain[1:], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    for name, value in plain_logs.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.slow_on_jax
def test_regularizers_count_once():
    x, y = examples(8)
    found = []
    for balancer in (None, SDMGrad(strength=1e6)):
        keras.utils.set_random_seed(0)
        model = tiny_model(
            l2=0.1, optimizer=keras.optimizers.SGD(0.1), balancer=balancer, run_eagerly=EAGERLY
        )
        zero = {task: np.full_like(values, mtlkeras.MISSING) for task, values in y.items()}
        model.fit(x, zero, batch_size=8, verbose=0)
        found.append(model.trunk.get_weights())
    for plain, paired in zip(*found, strict=True):
        np.testing.assert_allclose(paired, plain, atol=1e-6)


@pytest.mark.slow_on_jax
def test_a_batch_of_one_row_trains():
    x, y = examples(3)
    model = tiny_model(balancer=MoDo(), run_eagerly=EAGERLY)
    logs = model.fit(x, y, batch_size=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())


def test_bad_fields():
    with pytest.raises(ValueError, match="gamma must be above zero"):
        MoDo(gamma=0.0)
    with pytest.raises(ValueError, match="rho must not be below zero"):
        MoDo(rho=-1.0)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        SDMGrad(steps=0)
    with pytest.raises(ValueError, match="MoDo needs all shared parameters"):
        MoDo(at="representation")
