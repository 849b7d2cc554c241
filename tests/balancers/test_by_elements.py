"""Balancers of gradient elements, and averages of others, against their formulas."""

import numpy as np
import pytest

from mtlkeras.balancers import CRMOGM, DBMTL, MGDA, CAGrad, ExcessMTL, GradDrop, MoCo, MoDo, PCGrad
from mtlkeras.balancers._solvers import onto_simplex
from mtlkeras.balancers.base import Problem
from tests.labels import toys

LOSSES = np.array([0.5, 2.0, 4.0], "float32")


def rows(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, 6)).astype("float32"), rng.normal(size=(3, 4)).astype("float32")]


def problem(memory, losses=LOSSES, present=(1, 1, 1), noise=None):
    present = np.array(present, "float32")
    return Problem(losses, present, np.full(3, 1 / 3, "float32"), memory, present, noise)


def steps(balancer, count=3):
    """Gradients and answers of some steps, each with the memory of the one before."""
    memory = balancer.memory([None] * 3)
    buffers = [np.zeros_like(part) for part in rows()]
    for step in range(count):
        gradients = rows(step)
        answer = balancer.combine(problem(memory), gradients, buffers)
        memory, buffers = {**memory, **answer.memory}, [np.asarray(part) for part in answer.buffers]
        yield np.concatenate(gradients, 1), answer, np.concatenate([np.asarray(u) for u in answer.updates])


def test_dbmtl():
    average = 0.0
    for step, (gradients, answer, update) in enumerate(steps(DBMTL(beta=0.8, sigma=0.5)), 1):
        share = 0.8 / np.sqrt(step)
        average = share * average + (1 - share) * gradients / LOSSES[:, None]
        lengths = np.linalg.norm(average, axis=1)
        np.testing.assert_allclose(answer.weights, lengths.max() / lengths, rtol=1e-5)
        np.testing.assert_allclose(update, (lengths.max() / lengths) @ average, atol=1e-5)


def test_moco():
    tracked, w = 0.0, np.full(3, 1 / 3)
    for step, (gradients, answer, update) in enumerate(steps(MoCo(beta=0.5, gamma=0.7, rho=0.1)), 1):
        tracked = tracked + 0.5 / np.sqrt(step) * (gradients - tracked)
        gram = tracked @ tracked.T
        w = w - 0.7 * (gram / gram.diagonal().max() @ w + 0.1 * w)
        w = np.asarray(onto_simplex(w.astype("float32"), np.ones(3, "float32")))
        np.testing.assert_allclose(answer.weights, w, atol=1e-5)
        np.testing.assert_allclose(update, w @ tracked, atol=1e-5)


def test_excess_mtl():
    squares, w, first = 0.0, np.ones(3), None
    for gradients, answer, update in steps(ExcessMTL(step=0.3)):
        squares = squares + gradients**2
        excess = (gradients**2 / np.sqrt(squares)).sum(1)
        first = excess if first is None else first
        w = w * np.exp(0.3 * excess / first)
        w = 3 * w / w.sum()
        np.testing.assert_allclose(answer.weights, w, rtol=1e-5)
        np.testing.assert_allclose(update, w @ gradients, atol=1e-5)


def test_excess_mtl_takes_the_mean_of_its_warm_up():
    balancer = ExcessMTL(step=0.3, warmup=2)
    memory, buffers = balancer.memory([None] * 3), [np.zeros_like(part) for part in rows()]
    squares, seen, w = 0.0, [], np.ones(3)
    for step, new_epoch in enumerate([True, False, True, True, False]):
        if new_epoch:
            memory = {**memory, **balancer.epoch_memory(memory)}
        answer = balancer.combine(problem(memory), rows(step), buffers)
        memory, buffers = {**memory, **answer.memory}, [np.asarray(part) for part in answer.buffers]
        gradients = np.concatenate(rows(step), 1)
        squares = squares + gradients**2
        excess = (gradients**2 / np.sqrt(squares)).sum(1)
        if step < 3:  # The first two epochs.
            seen.append(excess)
        else:
            w = w * np.exp(0.3 * excess / np.mean(seen, axis=0))
            w = 3 * w / w.sum()
        np.testing.assert_allclose(answer.weights, w, rtol=1e-5)
        np.testing.assert_allclose(memory["first"], np.mean(seen, axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match="warmup must not be below zero"):
        ExcessMTL(warmup=-1)


def test_graddrop_keeps_one_sign_with_the_probability_of_its_share():
    gradients = [np.array([[3.0, 1, -1], [-1, 2, -2], [0, 1, 0]], "float32")]
    draws = np.linspace(0, 1, 1001, endpoint=False, dtype="float32")
    updates = np.stack(
        [
            GradDrop().combine(problem({}, noise=np.full(3, u, "float32")), gradients, [0.0]).updates[0]
            for u in draws
        ]
    )
    assert set(np.unique(updates[:, 0])) == {-1.0, 3.0}
    np.testing.assert_allclose((updates[:, 0] > 0).mean(), 0.5 * (1 + 2 / 4), atol=2e-3)
    assert (updates[:, 1] == 4).all() and (updates[1:, 2] == -3).all()
    leaking = GradDrop(leak=0.25).combine(problem({}, noise=np.zeros(3, "float32")), gradients, [0.0])
    np.testing.assert_allclose(leaking.updates[0][0], 0.25 * 2 + 0.75 * 3, rtol=1e-6)


@pytest.mark.parametrize("balancer", [DBMTL(), MoCo(), ExcessMTL()], ids=repr)
def test_absent_task_keeps_what_is_known_of_it(balancer):
    memory, before = balancer.memory([None] * 3), [np.ones_like(part) for part in rows()]
    gradients = [part * np.array([[1.0], [0.0], [1.0]], "float32") for part in rows()]
    answer = balancer.combine(problem(memory, present=(1, 0, 1)), gradients, before)
    assert np.asarray(answer.weights)[1] == 0
    for new, old in zip(answer.buffers, before, strict=True):
        np.testing.assert_array_equal(np.asarray(new)[1], old[1])


def test_projection_onto_the_simplex():
    rng = np.random.default_rng(0)
    for _ in range(20):
        point, present = rng.normal(size=5).astype("float32"), (rng.random(5) > 0.3).astype("float32")
        present[0] = 1
        found = np.asarray(onto_simplex(point, present))
        np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-6)
        assert (found >= 0).all() and (found[present == 0] == 0).all()
        # The nearest point: what is left of it is a constant, less where it is zero.
        rest = (point - found)[present > 0]
        inside = found[present > 0] > 0
        np.testing.assert_allclose(rest[inside], rest[inside][0], atol=1e-6)
        assert (rest[~inside] <= rest[inside][0] + 1e-6).all()


def test_crmogm_averages_the_weights_of_the_other_balancer():
    average, other = CRMOGM(alpha=0.8, balancer=CAGrad(c=0.3)), CAGrad(c=0.3)
    memory = average.memory([None] * 3)
    expected = None
    for step in range(4):
        gradients = np.concatenate(rows(step), 1)
        known = problem(memory)._replace(gram=gradients @ gradients.T)
        weights, memory = average.solve(known)
        now = np.asarray(other.weights(gradients @ gradients.T))
        expected = now if expected is None else 0.8 * expected + 0.2 * now
        np.testing.assert_allclose(weights, expected, rtol=1e-4)
    assert CRMOGM(balancer=PCGrad(seed=4)).seed == 4 and not hasattr(CRMOGM(balancer=MGDA()), "seed")
    with pytest.raises(ValueError, match="by the Gram matrix"):
        CRMOGM(balancer=MoCo())


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "balancer",
    [
        GradDrop(),
        DBMTL(),
        *(pytest.param(b, marks=pytest.mark.slow) for b in (CAGrad(at="parameters"), MoDo())),
    ],
    ids=repr,
)
def test_shared_layers_over_steps_of_batches_of_any_size(balancer):
    """Of whose gradients TensorFlow does not know the shape in a graph."""
    heads = {task: toys.heads()[task] for task in ("kind", "size")}
    model = toys.model(heads, balancer=balancer)
    x, y = toys.inputs(), {task: toys.labels()[task] for task in heads}
    for size in (1, 4, 6):
        logs = model.fit(x, y, batch_size=size, verbose=0).history
        assert all(np.isfinite(values).all() for values in logs.values())
