"""GO4Align, IGB, LDC-MTL and UW-SO against their equations in NumPy, over steps and epochs."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras.balancers import IGB, LDCMTL, UWSO, GO4Align
from mtlkeras.balancers._groups import group_means
from mtlkeras.balancers.base import Problem
from tests.balancers.small import a_batch, a_model, numbers


def steps(balancer, series, present=None, **memory):
    """Weights step by step, and what is remembered at the end."""
    kept = {**balancer.memory([None] * len(series[0])), **balancer.trained([None] * len(series[0])), **memory}
    found = []
    for i, losses in enumerate(series):
        there = np.ones(len(losses), "float32") if present is None else np.float32(present[i])
        problem = Problem(np.float32(losses) * there, there, there / there.sum(), kept, there)
        answer = balancer.weigh(problem)
        kept = {**kept, **{name: np.asarray(value) for name, value in answer.memory.items()}}
        found.append(np.asarray(answer.weights))
    return np.array(found), kept


def best_groups(values, groups):
    """The least sum of squared distances over all ways to put values into groups, and the means."""
    best = (np.inf, None)
    for labels in itertools.product(range(min(groups, len(values))), repeat=len(values)):
        means = np.array([values[np.array(labels) == g].mean() if g in labels else 0 for g in range(groups)])
        best = min(best, (((values - means[list(labels)]) ** 2).sum(), tuple(means[list(labels)])))
    return best


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_groups_are_the_best_of_all(groups):
    rng = np.random.default_rng(groups)
    for count in (1, 4):
        values = rng.uniform(size=count).astype("float32")
        present = np.ones(count, "float32")
        found = np.asarray(group_means(ops.convert_to_tensor(values), ops.convert_to_tensor(present), groups))
        least, _ = best_groups(values, groups)
        np.testing.assert_allclose(((values - found) ** 2).sum(), least, atol=1e-6)
        assert len(np.unique(found)) <= groups


def test_groups_leave_out_what_is_absent_and_take_ties():
    values, present = np.float32([0.9, 0.5, 0.1, 0.2, 0.85]), np.float32([1, 0, 1, 1, 1])
    found = np.asarray(group_means(ops.convert_to_tensor(values), ops.convert_to_tensor(present), 2))
    np.testing.assert_allclose(found[present > 0], [0.875, 0.15, 0.15, 0.875], rtol=1e-5)
    same = ops.ones((4,))
    np.testing.assert_allclose(group_means(same, same, 3), 1.0, rtol=1e-6)


def test_go4align_follows_its_equations_over_steps():
    rng = np.random.default_rng(0)
    series, beta = rng.uniform(0.2, 5.0, size=(6, 5)), 0.1
    found, _ = steps(GO4Align(groups=2, beta=beta), series)
    smoothness = np.full(5, 0.2)
    for losses, weights in zip(series, found, strict=True):
        smoothness = smoothness * np.exp(-beta * losses)  # Equation 6.
        smoothness = smoothness / smoothness.sum()
        indicators = losses.mean() / losses * smoothness  # Equations 5 and 7.
        np.testing.assert_allclose(weights, best_groups(indicators, 2)[1], rtol=1e-4)


def test_go4align_does_not_see_the_order_of_the_tasks_and_keeps_absent_ones():
    series, order = np.random.default_rng(1).uniform(0.2, 5.0, size=(4, 5)), [3, 0, 4, 1, 2]
    balancer = GO4Align(groups=3, beta=0.05)
    np.testing.assert_allclose(
        steps(balancer, series[:, order])[0], steps(balancer, series)[0][:, order], rtol=1e-5
    )
    few = np.ones_like(series)
    few[2, 1] = 0
    found, kept = steps(balancer, series, few)
    assert found[2, 1] == 0 and (np.delete(found[2], 1) > 0).all()
    # The absent task gains as one with a loss of zero does, since the others' smoothness falls.
    sums = (series * few).sum(0)
    np.testing.assert_allclose(kept["log_smoothness"], -0.05 * (sums - sums.min()), rtol=1e-4, atol=1e-6)


def test_go4align_with_tasks_enough_for_groups_of_one_scales_with_no_loss():
    losses = np.array([0.5, 2.0, 8.0])
    weighed = GO4Align(groups=3, beta=1e-9).weights(losses) * losses
    np.testing.assert_allclose(weighed, losses.mean() / 3, rtol=1e-5)  # All losses count alike.


def test_uw_so_sums_to_one_and_follows_the_temperature():
    losses = np.array([0.5, 2.0, 8.0])
    for temperature in (0.1, 1.0, 50.0):
        rates = np.exp(1 / losses / temperature - (1 / losses / temperature).max())
        found = UWSO(temperature=temperature).weights(losses)
        np.testing.assert_allclose(found, rates / rates.sum(), rtol=1e-5)
    np.testing.assert_allclose(UWSO(temperature=1e6).weights(losses), 1 / 3, rtol=1e-4)
    np.testing.assert_allclose(UWSO().weights([1e-9, 1.0]), [1, 0], atol=1e-6)


def test_igb_measures_gaps_by_the_mean_of_the_second_epoch():
    x, y = a_batch()  # The only batch, so that its losses are those that are logged.
    model = a_model(keras.optimizers.SGD(0.1), balancer=IGB())
    logs = model.fit(x, y, batch_size=len(x), epochs=4, verbose=0).history
    losses = np.array([logs[f"{task}_loss"] for task in model.heads])
    weights = np.array([logs[f"{task}_weight"] for task in model.heads])
    np.testing.assert_allclose(weights[:, :2], 1 / losses[:, :2], rtol=1e-4)
    for epoch in (2, 3):
        rates = np.exp(losses[:, epoch] / losses[:, 1])
        shares = len(losses) * rates / rates.sum()
        np.testing.assert_allclose(weights[:, epoch], shares / losses[:, epoch], rtol=1e-4)


def test_igb_takes_the_next_epoch_of_a_task_without_labels():
    balancer = IGB(base_epoch=1)
    kept = balancer.memory([None] * 2)
    for there in ([1, 0], [1, 0], [1, 1], [1, 1]):
        kept = {**kept, **balancer.epoch_memory(kept)}
        weights, kept = steps(balancer, [[2.0, 4.0], [4.0, 8.0]], [there, there], **kept)
        if there[1] == 0 and kept["epoch"] == 2:
            np.testing.assert_array_equal(kept["base"], [3.0, 0.0])
            np.testing.assert_allclose(weights[:, 0] * [2.0, 4.0], 1.0, rtol=1e-5)
    np.testing.assert_allclose(kept["base"], [3.0, 6.0])
    np.testing.assert_allclose(weights * [[2.0, 4.0], [4.0, 8.0]], 1.0, rtol=1e-5)


def ldc(losses, router, balancer):
    """Objective of LDC-MTL in NumPy, with the sum of the shares as it is."""
    shares = 1 / (1 + np.exp(-router))
    scaled = losses * (shares if balancer.discrepancy == "weighted" else 1.0)
    return shares @ losses, balancer.penalty * abs(np.diff(scaled)).sum(), shares.sum()


@pytest.mark.parametrize("discrepancy", ["weighted", "plain"])
def test_ldc_mtl_is_the_sum_and_the_gaps_of_losses_over_their_first_ones(discrepancy):
    series = np.array([[4.0, 1.0, 9.0, 2.0], [2.0, 0.9, 6.0, 1.7]])
    router = np.float32([0.3, -1.0, 2.0, 0.5])
    for normalization in ("none", "rescale", "log"):
        balancer = LDCMTL(penalty=0.07, discrepancy=discrepancy, normalization=normalization)
        _, kept = steps(balancer, series[:1], router=router)
        np.testing.assert_array_equal(kept["first"], series[0])
        losses = {
            "none": series[1],
            "rescale": series[1] / (series[0] / series[0].min()),
            "log": np.log(series[1] / series[0]),
        }[normalization]
        part, gaps, total = ldc(losses, router, balancer)
        ones = np.ones(4, "float32")
        answer = balancer.weigh(Problem(np.float32(series[1]), ones, ones / 4, kept, ones))
        np.testing.assert_allclose(float(answer.objective), part / total + gaps, rtol=1e-5)
        for i in range(4):
            moved = [balancer.weigh(
                Problem(np.float32(series[1] + d * np.eye(4)[i]), ones, ones / 4, kept, ones)
            ).objective for d in (1e-2, -1e-2)]  # fmt: skip
            slope = (float(moved[0]) - float(moved[1])) / 2e-2
            np.testing.assert_allclose(np.asarray(answer.weights)[i], slope, atol=2e-3)


def test_ldc_mtl_joins_the_neighbours_of_an_absent_task():
    balancer = LDCMTL(penalty=0.3, normalization="none")
    losses = np.array([[4.0, 1.0, 9.0, 2.0]])
    router = np.float32([0.3, -1.0, 2.0, 0.5])
    all_there, _ = steps(balancer, losses[:, [0, 2, 3]], router=router[[0, 2, 3]])
    without, kept = steps(balancer, losses, [[1, 0, 1, 1]], router=router)
    np.testing.assert_allclose(without[0, [0, 2, 3]], all_there[0], rtol=1e-5)
    assert without[0, 1] == 0
    np.testing.assert_array_equal(kept["seen"], [1, 0, 1, 1])


@pytest.mark.slow_on_jax
def test_ldc_mtl_learns_its_weights_by_the_optimizer():
    x, y = a_batch()
    model = a_model(keras.optimizers.SGD(0.0), balancer=LDCMTL(penalty=0.2, normalization="none"))
    model.train_on_batch(x, y)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    losses = np.array([before[f"{task}_loss"] for task in model.heads])
    model.optimizer.learning_rate = 0.1
    model.train_on_batch(x, y)
    (router,) = numbers(model.balancing.trained.values())
    share = 1 / (1 + np.exp(-1.0))
    signs = np.sign(losses - losses[::-1])
    slope = share * (1 - share) * (losses / (2 * share) + 0.2 * signs * losses)
    np.testing.assert_allclose(router, 1 - 0.1 * slope, rtol=1e-4)


@pytest.mark.parametrize("balancer", [UWSO(), GO4Align(), IGB(), LDCMTL()], ids=repr)
def test_one_task_is_trained_as_any(balancer):
    (weight,) = np.asarray(balancer.weights([2.0]))
    np.testing.assert_allclose(weight, 0.5 if isinstance(balancer, IGB) else 1.0, rtol=1e-5)


def test_bad_fields():
    with pytest.raises(ValueError, match="UWSO: temperature must be above zero; received 0"):
        UWSO(temperature=0.0)
    with pytest.raises(ValueError, match="GO4Align: groups must be a whole number above zero; received 0"):
        GO4Align(groups=0)
    with pytest.raises(ValueError, match="GO4Align: beta must be above zero"):
        GO4Align(beta=-1.0)
    with pytest.raises(ValueError, match="IGB: base_epoch must be a whole number above zero; received 0"):
        IGB(base_epoch=0)
    with pytest.raises(ValueError, match="LDCMTL: penalty must not be below zero"):
        LDCMTL(penalty=-0.1)
    with pytest.raises(ValueError, match="discrepancy= of LDCMTL.*Did you mean 'plain'"):
        LDCMTL(discrepancy="plane")
    with pytest.raises(ValueError, match="normalization= of LDCMTL.*Did you mean 'rescale'"):
        LDCMTL(normalization="rescaled")
