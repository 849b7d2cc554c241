"""Matrices, losses and batches that a solver cannot work with: every balancer, by itself and in training."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras import balancers as known
from mtlkeras._backends import compiled
from mtlkeras.balancers._guard import is_sound, solved
from mtlkeras.balancers.base import ElementBalancer, GramBalancer, LossBalancer, PairBalancer, Problem
from tests.balancers.small import a_batch, a_model, numbers, slow_but_for_some, slow_on_jax
from tests.balancers.test_every_balancer import CLASSES, made
from tests.support import EAGERLY

BY_MATRIX = [made(cls) for cls in CLASSES if issubclass(cls, (GramBalancer, PairBalancer))]
BY_MATRIX += [known.MGDA(normalization=n) for n in ("length", "loss", "loss_length")]
BY_MATRIX += [known.AlignedMTL(scale="median"), known.AlignedMTL(scale="rmse"), known.FairGrad(a=5.0)]
BY_MATRIX += [known.CAGrad(c=0.9, rescale=True), known.NashMTL(max_norm=None)]
BY_MATRIX += [known.CRMOGM(balancer=known.CAGrad())]
VARIANTS = 9  # The last ones, of which each is like the balancer of its class.
COUNTS = (2, 8)


def gram_matrices(count):
    """Of rank 0 to K, opposed and equal, negative by rounding; of all scales, also mixed."""
    rng = np.random.default_rng(count)
    found = [np.zeros((count, count)), np.eye(count), np.ones((count, count)), -1e-9 * np.eye(count)]
    for size in (1, 2, count):
        for common in (0.0, 1.0, -0.5):
            rows = rng.normal(size=(count, size)) + common * rng.normal(size=size)
            found.append(rows @ rows.T)
    found.append(found[4] - 1e-7 * np.eye(count))
    opposed = rng.normal(size=(count, 4))
    opposed[-1] = -opposed[0]
    found.append(opposed @ opposed.T)
    opposed[0] = 0.0
    found.append(opposed @ opposed.T)
    scales = [np.full(count, scale) for scale in (1e-15, 1e-8, 1.0, 1e8, 1e15)]
    scales += [np.where(np.arange(count) % 2, big, small) for big, small in ((1e7, 1e-8), (1e15, 1e-15))]
    # Of the seven scales each matrix has three, others each time.
    places = [(i, (3 * i + j) % 7) for i in range(len(found)) for j in range(3)]
    return [found[i] * np.outer(scales[j], scales[j]) for i, j in places]


def without_numbers(count):
    """Matrices of which all, one row or one entry is no finite number."""
    rows = np.random.default_rng(count).normal(size=(count, 9))
    for bad in (np.nan, np.inf, -np.inf):
        yield np.full((count, count), bad)
        one = rows @ rows.T
        one[0] = one[:, 0] = bad
        yield one
        one = rows @ rows.T
        one[-1, 0] = bad
        yield one


def cases(count):
    """Matrices, losses and present tasks, as stacks."""
    every, none, some = np.ones(count), np.zeros(count), (np.arange(count) % 2 == 0) * 1.0
    spread = np.where(np.arange(count) % 2, 1e30, 1e-30)
    losses = [every, none, 1e30 * every, 1e-30 * every, spread, -every]
    for i, gram in enumerate(gram_matrices(count)):
        yield gram, every, every
        yield gram, losses[1 + i % 5], some if i % 2 else every
    for gram in (np.zeros((count, count)), *without_numbers(count)):
        for present in (every, none, some):
            yield gram, every, present
    for bad in (np.nan, np.inf, -np.inf):
        for gram, present in ((np.eye(count), every), (np.full((count, count), bad), some)):
            yield gram, np.append(every[1:], bad), present


@pytest.mark.parametrize(
    "balancer",
    [
        *(pytest.param(b, marks=slow_on_jax(b), id=repr(b)) for b in BY_MATRIX[:-VARIANTS]),
        *(pytest.param(b, marks=pytest.mark.slow, id=repr(b)) for b in BY_MATRIX[-VARIANTS:]),
    ],
)
def test_weights_are_finite_or_those_of_no_balancer(balancer):
    for count in COUNTS:
        memory = {
            name: ops.convert_to_tensor(value) for name, value in balancer.memory([None] * count).items()
        }
        preference = ops.convert_to_tensor(balancer.preferences([f"task_{i}" for i in range(count)]))

        def weigh(case, memory=memory, preference=preference):
            gram, losses, present = case
            problem = Problem(losses, present, preference, memory, present, None, gram)
            sound = is_sound(problem)
            weights, changes = solved(balancer, problem, sound)
            remembered = [ops.reshape(value, (-1,)) for value in changes.values()]
            return sound, weights, ops.concatenate([*remembered, weights])

        grams, losses, present = (np.array(part, "float32") for part in zip(*cases(count), strict=True))
        both = present[:, :, None] * present[:, None] > 0
        grams, losses = np.where(both, grams, 0.0), np.where(present > 0, losses, 0.0)
        sound, weights, remembered = map(
            np.asarray, compiled(lambda *c: ops.map(weigh, c))(grams, losses, present)
        )
        finite = np.isfinite(grams).all((1, 2)) & np.isfinite(losses).all(1)
        np.testing.assert_array_equal(sound, finite)
        for place in np.flatnonzero(~np.isfinite(weights).all(1) | ~np.isfinite(remembered).all(1)):
            raise AssertionError((weights[place], grams[place].tolist(), losses[place], present[place]))
        np.testing.assert_array_equal(weights[~finite], present[~finite])
        np.testing.assert_array_equal(weights[present == 0], 0.0)


@pytest.mark.parametrize("balancer", [pytest.param(b, marks=slow_on_jax(b), id=repr(b)) for b in BY_MATRIX])
def test_single_task_of_any_size_has_a_finite_weight(balancer):
    for size in (0.0, -1e-9, 1e-30, 1.0, 1e30):
        (weight,) = np.asarray(balancer.weights(np.full((1, 1), size)))
        assert np.isfinite(weight), size


@pytest.mark.slow_on_jax
def test_weights_of_what_is_not_finite_are_nan():
    for balancer in (known.CAGrad(), known.MoDo()):
        for gram in without_numbers(3):
            assert np.isnan(balancer.weights(gram)).all()
    assert np.isnan(known.GradNorm().weights(np.eye(2), losses=[1.0, np.nan])).all()


@pytest.mark.parametrize("cls", [c for c in CLASSES if issubclass(c, LossBalancer)], ids=lambda c: c.__name__)
def test_losses_of_all_sizes_and_absent_tasks(cls):
    balancer = made(cls)
    for count in COUNTS:
        memory = {**balancer.memory([None] * count), **balancer.trained([None] * count)}
        preference = balancer.preferences([f"task_{i}" for i in range(count)])
        for losses in (0.0, 1e-30, 1.0, 1e15, 1e30, np.where(np.arange(count) % 2, 1e15, 1e-15)):
            for present in (np.ones(count), np.zeros(count), np.arange(count) % 2 == 0):
                present = np.array(present, "float32")
                problem = Problem(
                    np.float32(losses * present),
                    present,
                    preference,
                    memory,
                    present,
                    np.ones(count, "float32"),
                )
                answer = balancer.weigh(problem)
                weights = np.asarray(answer.weights)
                assert np.isfinite(weights).all() and (weights[present == 0] == 0).all(), (losses, present)
                assert all(np.isfinite(v).all() for v in answer.memory.values()), (losses, present)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "cls", [c for c in CLASSES if issubclass(c, ElementBalancer)], ids=lambda c: c.__name__
)
def test_gradients_of_all_sizes(cls):
    balancer = made(cls)
    for count in COUNTS:
        rng = np.random.default_rng(count)
        memory, preference = balancer.memory([None] * count), np.full(count, 1 / count, "float32")
        for scale in (0.0, 1e-30, 1e-15, 1.0, 1e15, np.where(np.arange(count) % 2, 1e12, 1e-12)[:, None]):
            for present in (np.ones(count), np.zeros(count), np.arange(count) % 2 == 0):
                present = np.array(present, "float32")
                rows = [np.float32(rng.normal(size=(count, n)) * scale * present[:, None]) for n in (5, 3)]
                problem = Problem(present, present, preference, memory, present, np.full(8, 0.5, "float32"))
                answer = balancer.combine(problem, rows, [np.zeros_like(r) for r in rows])
                found = [answer.weights, *answer.updates, *answer.buffers, *answer.memory.values()]
                assert all(np.isfinite(part).all() for part in found), (scale, present)
                assert (np.asarray(answer.weights)[present == 0] == 0).all()


def in_training():
    """Every balancer at the level it needs; those by the Gram matrix at both, in turn."""
    for i, cls in enumerate(CLASSES):
        balancer = made(cls, at="parameters") if issubclass(cls, GramBalancer) and i % 2 else made(cls)
        yield slow_but_for_some(balancer)
    yield slow_but_for_some(known.CAGrad())
    yield slow_but_for_some(known.MGDA(every=2))


@pytest.fixture(scope="module")
def model():
    return a_model()


def restarted(model, balancer, optimizer=None):
    """Compiles anew, with what was remembered and trained so far lost."""
    model.compile(
        optimizer or keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=EAGERLY, balancer=balancer
    )
    model.set_weights([np.where(np.isfinite(w), w, 0.1) for w in model.get_weights()])
    return model


def state(model):
    """All that a step changes, but for random seeds."""
    kept = [*model.trainable_variables, *model.optimizer.variables]
    return numbers(kept + ([] if model.balancing is None else model.balancing.remembered))


def answer_to(model, x, y):
    """The logs of a step of its own; Keras before 3.15 takes means over all steps so far."""
    model.reset_metrics()
    return model.train_on_batch(x, y, return_dict=True)


def watched_step(model, x, y):
    """A step as `fit` takes it with `StopOnNonFinite`; a `fit` that is broken off is waited for."""
    watch = mtlkeras.training.StopOnNonFinite()
    watch.set_model(model)
    watch.on_epoch_begin(0)
    watch.on_train_batch_end(0, answer_to(model, x, y))


@pytest.mark.parametrize("balancer", list(in_training()))
def test_batches_without_labels_and_without_numbers(model, balancer):
    restarted(model, balancer)
    x, y = a_batch()
    model.begin_epoch()
    answer_to(model, x, y)

    # Without any label: weights of zero, and only momentum moves what is shared.
    none = {"kind": np.full(8, mtlkeras.MISSING), "size": np.full(8, np.nan, "float32")}
    for labels in (none, {"kind": none["kind"]}):
        logs = answer_to(model, x, labels)
        if getattr(balancer, "every", 1) == 1:
            assert logs["kind_weight"] == logs["size_weight"] == 0.0
        assert all(np.isfinite(part).all() for part in state(model))

    # A row of NaN, a loss of infinity: the step is left out as without a balancer, and forgotten.
    model.skip_non_finite = True
    spoilt = x.copy()
    spoilt[3] = np.nan
    huge = {**y, "size": np.float32(1e30) * y["size"]}
    for images, labels in ((spoilt, y), (x, huge)):
        before = state(model)
        assert answer_to(model, images, labels)["skipped_steps"] == 1.0
        for old, new in zip(before, state(model), strict=True):
            np.testing.assert_array_equal(new, old)
    assert answer_to(model, x, y)["skipped_steps"] == 0.0

    # Not left out: the weights are lost, as without a balancer, but not what is remembered.
    model.skip_non_finite = False
    with pytest.raises(FloatingPointError, match="loss of task 'size' is NaN or infinite after step 1"):
        watched_step(model, x, huge)
    assert all(np.isfinite(part).all() for part in numbers(model.balancing.remembered))
    with pytest.raises(FloatingPointError, match="loss of task 'kind' and 'size' is NaN"):
        watched_step(model, spoilt, y)
    assert all(np.isfinite(part).all() for part in numbers(model.balancing.remembered))


@pytest.mark.parametrize(
    "balancer",
    [
        slow_but_for_some(balancer)
        for balancer in (
            known.DWA(),
            known.FAMO(),
            known.GradNorm(),
            known.GradNorm(at="parameters"),
            known.DBMTL(),
            known.MoDo(),
        )
    ],
)
def test_step_that_loss_scaling_leaves_out_is_forgotten(model, balancer):
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=64.0)
    restarted(model, balancer, scaling)
    x, y = a_batch()
    model.train_on_batch(x, y)
    before = numbers([*model.trainable_variables, *model.balancing.remembered])
    spoilt = x.copy()
    spoilt[3] = np.inf
    model.train_on_batch(spoilt, y)
    assert float(scaling.dynamic_scale) == 32.0
    for old, new in zip(
        before, numbers([*model.trainable_variables, *model.balancing.remembered]), strict=True
    ):
        np.testing.assert_array_equal(new, old)
    model.train_on_batch(x, y)
    after = numbers(model.balancing.remembered)
    assert any((old != new).any() for old, new in zip(before[-len(after) :], after, strict=True))
