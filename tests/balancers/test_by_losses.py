"""Balancers by losses against their formulas, by numbers and by differentiation."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import (
    COSMOS,
    DWA,
    FAMO,
    GLS,
    IGB,
    IMTLL,
    LDCMTL,
    RLW,
    STCH,
    UWSO,
    Fixed,
    GO4Align,
    Uncertainty,
)
from mtlkeras.balancers.base import Problem
from mtlkeras.heads import Classification, Regression
from tests.support import EAGERLY, examples, tiny_model

LOSSES = np.array([0.5, 2.0, 8.0])
# Of the losses above; the first five as TorchJD 0.18 has them.
OBJECTIVES = [
    (GLS(), 2.0),
    (STCH(), 2.8634),
    (Uncertainty(), 5.25),
    (IMTLL(), 10.5),
    (FAMO(), 0.7922),
    (Fixed(), 10.5),
    (Fixed((1.0, 0.5, 0.25)), 3.5),
    (COSMOS(), 10.5 / 3 - 10.5 / (np.sqrt(3) * np.sqrt(68.25))),
    (COSMOS(preference=(1.0, 1.0, 0.0), cosine=2.0), 1.25 - 2 * 2.5 / (np.sqrt(2) * np.sqrt(68.25))),
    (RLW(), 10.5 / 3),
    (UWSO(temperature=1.0), np.exp(1 / LOSSES) @ LOSSES / np.exp(1 / LOSSES).sum()),
    # Indicators 3.5 / L / 3, of which the last two are nearer to each other.
    (GO4Align(beta=1e-9), 3.5 / 3 * (1.0 + (1 / 2 + 1 / 8) / 2 * 10.0)),
    (IGB(), np.log(8.0)),
    (LDCMTL(), 0.5),
    (LDCMTL(normalization="none", discrepancy="plain", penalty=0.2), 3.5 + 0.2 * (1.5 + 6.0)),
    (LDCMTL(normalization="log"), 0.0),
]
# What they minimise moves with the losses in other ways than their weights say.
HELD_FIXED = [FAMO(), UWSO(temperature=1.0), GO4Align(beta=1e-9), LDCMTL(), LDCMTL(normalization="log")]
LATER = [UWSO(), GO4Align(), IGB(), LDCMTL(), *(LDCMTL(0.3, normalization=n) for n in ("none", "log"))]


@pytest.mark.parametrize("balancer, expected", OBJECTIVES, ids=lambda v: repr(v))
def test_objective(balancer, expected):
    np.testing.assert_allclose(float(balancer.objective(LOSSES)), expected, rtol=1e-4)


@pytest.mark.parametrize("balancer", [b for b, _ in OBJECTIVES if b not in HELD_FIXED], ids=repr)
def test_weights_are_the_derivative_of_the_objective(balancer):
    weights = np.asarray(balancer.weights(LOSSES))
    for i, step in enumerate(1e-2 * np.eye(3)):
        rise = float(balancer.objective(LOSSES + step)) - float(balancer.objective(LOSSES - step))
        np.testing.assert_allclose(weights[i], rise / 2e-2, atol=2e-3, rtol=2e-3)


def test_famo_weighs_as_in_the_paper_and_moves_towards_what_falls_slower():
    np.testing.assert_allclose(FAMO().weights(LOSSES), (1 / LOSSES) / (1 / LOSSES).sum(), rtol=1e-5)
    balancer = FAMO(learning_rate=0.1, decay=0.0)
    memory = balancer.memory([None] * 3)
    memory.update(log_losses=np.log(LOSSES + 1e-8).astype("float32"), seen=np.ones(3, "float32"))
    fallen = Problem((LOSSES * [0.5, 1.0, 1.0]).astype("float32"), np.ones(3, "float32"), None, memory)
    logits = np.asarray(balancer.after_step(fallen)["logits"])
    # Adam's first step is the learning rate against the sign of the gradient.
    np.testing.assert_allclose(logits, [-0.1, 0.1, 0.1], rtol=1e-4)


@pytest.mark.parametrize("balancer", [*(b for b, _ in OBJECTIVES[:6]), *LATER], ids=repr)
def test_absent_task_leaves_the_weights_of_the_others(balancer):
    count, few = 3, [0, 2]
    if isinstance(balancer, Fixed):
        balancer = Fixed()
    memory = {**balancer.memory([None] * count), **balancer.trained([None] * count)}
    present = np.array([1, 0, 1], "float32")
    shares = np.full(3, 1 / 3, "float32")
    problem = Problem((LOSSES * present).astype("float32"), present, shares, memory, present)
    if isinstance(balancer, Fixed):
        problem = problem._replace(preference=np.ones(3, "float32"))
    weights = np.asarray(balancer.weigh(problem).weights)
    assert weights[1] == 0
    np.testing.assert_allclose(weights[few], balancer.weights(LOSSES[few]), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("balancer", [b for b, _ in OBJECTIVES], ids=repr)
def test_losses_of_any_scale_give_finite_weights(balancer, scale):
    for losses in (LOSSES * scale, [scale, 1.0, 0.0], [0.0, 0.0, 0.0]):
        weights = np.asarray(balancer.weights(np.asarray(losses, "float32")))
        assert np.isfinite(weights).all(), (losses, weights)


def test_rlw_repeats_by_seed_and_is_normal():
    draws = keras.random.SeedGenerator(7)
    balancer = RLW(distribution="normal")
    weights = np.stack([np.asarray(balancer.weights(LOSSES, seed=draws)) for _ in range(400)])
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
    logs = np.log(weights)
    difference = logs[:, 0] - logs[:, 1]  # Of two normal draws.
    assert abs(difference.mean()) < 0.25 and abs(difference.std() - np.sqrt(2)) < 0.25
    np.testing.assert_array_equal(RLW().weights(LOSSES, seed=1), RLW().weights(LOSSES, seed=1))


def test_rlw_of_uniform_draws():
    draws = keras.random.SeedGenerator(7)
    balancer = RLW()
    weights = np.stack([np.asarray(balancer.weights(LOSSES, seed=draws)) for _ in range(400)])
    difference = np.log(weights[:, 0] / weights[:, 1])  # Of two uniform draws: of a triangular distribution.
    assert abs(difference).max() < 1 and abs(difference.std() - np.sqrt(1 / 6)) < 0.05
    with pytest.raises(ValueError, match="Did you mean 'uniform'"):
        RLW(distribution="unifrom")


def test_dwa_follows_the_exact_means_of_two_epochs():
    x, y = examples(23, missing=0.4)
    model = tiny_model(
        optimizer=keras.optimizers.SGD(0.5), balancer=DWA(temperature=0.5), run_eagerly=EAGERLY
    )
    logs = model.fit(x, y, batch_size=10, epochs=4, verbose=0).history
    losses = np.array([logs[f"{task}_loss"] for task in model.heads])
    weights = np.array([logs[f"{task}_weight"] for task in model.heads])
    np.testing.assert_allclose(weights[:, :2], 1.0, rtol=1e-6)
    for epoch in (2, 3):
        rates = np.exp(losses[:, epoch - 1] / losses[:, epoch - 2] / 0.5)
        np.testing.assert_allclose(weights[:, epoch], 4 * rates / rates.sum(), rtol=1e-4)


@pytest.mark.slow
def test_uncertainty_learns_the_noise_of_each_kind_of_head():
    # Heads that cannot learn: the optimum has a closed form in their losses.
    x, y = examples(40)
    heads = {
        "kind": Classification(3),
        "size": Regression(num_targets=2),
        "width": Regression(num_targets=2, loss_kind="mae"),
    }
    y = {"kind": y["kind"], "size": y["size"], "width": y["size"]}
    model = tiny_model(heads, optimizer=keras.optimizers.SGD(0.2), balancer=Uncertainty())
    for layer in [model.trunk, *(model.get_layer(f"{task}_logits") for task in heads)]:
        layer.trainable = False
    model.compile(keras.optimizers.SGD(0.2), balancer=Uncertainty())
    logs = model.fit(x, y, batch_size=40, epochs=150, verbose=0).history
    loss = {task: logs[f"{task}_loss"][-1] for task in heads}
    expected = {"kind": 0.5 / loss["kind"], "size": 0.5 / loss["size"], "width": 1 / loss["width"]}
    # Where the derivative by s is zero: e^-s L = 1/2, e^-s L / 2 = 1/2, e^(-s/2) L / 2 = 1/2.
    for task, weight in expected.items():
        np.testing.assert_allclose(logs[f"{task}_weight"][-1], weight, rtol=1e-3, err_msg=task)


def test_step_follows_the_weighted_gradients():
    x, y = examples(12)
    start = tiny_model().get_weights()
    found = []
    for arguments in ({"balancer": Fixed({"kind": 3.0, "size": 0.5})}, {}):
        weights = {} if arguments else {"loss_weights": {"kind": 3.0, "size": 0.5}}
        model = tiny_model(optimizer=keras.optimizers.SGD(0.5), run_eagerly=EAGERLY, **arguments, **weights)
        model.set_weights(start + model.get_weights()[len(start) :])
        model.fit(x, y, batch_size=6, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, two in zip(*found, strict=False):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_loss_is_logged_without_the_balancer():
    x, y = examples(12)
    model = tiny_model(
        optimizer=keras.optimizers.SGD(0.0), balancer=Fixed({"kind": 9.0}), run_eagerly=EAGERLY
    )
    logs = model.fit(x, y, batch_size=6, verbose=0, validation_data=(x, y)).history
    total = sum(logs[f"{task}_loss"][0] for task in model.heads)
    np.testing.assert_allclose(logs["loss"][0], total, rtol=1e-5)
    np.testing.assert_allclose(logs["val_loss"][0], total, rtol=1e-5)
    assert not any(name.startswith("val_") and name.endswith("_weight") for name in logs)


def test_another_compile_replaces_the_balancer():
    x, y = examples(12)
    model = tiny_model(balancer=Uncertainty())
    assert any("log_variance" in v.path for v in model.trainable_variables)
    plain = tiny_model().count_params()
    assert model.count_params() > plain
    model.compile("sgd", run_eagerly=EAGERLY)
    assert model.count_params() == plain and model.balancing is None
    assert "kind_weight" not in model.fit(x, y, verbose=0).history


def test_weights_of_a_model_without_the_balancer_can_be_loaded(tmp_path):
    plain, balanced = tiny_model(), tiny_model(balancer=Uncertainty())
    plain.save_weights(tmp_path / "plain.weights.h5")
    with pytest.warns(UserWarning, match="saved with no balancer"):
        balanced.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(balanced.get_weights()[0], plain.get_weights()[0])
    balanced.save_weights(tmp_path / "balanced.weights.h5")
    with pytest.warns(UserWarning, match="the model has none"):
        plain.load_weights(tmp_path / "balanced.weights.h5")
    clone = keras.models.clone_model(balanced)
    assert isinstance(clone, mtlkeras.MultiTaskModel) and clone.balancing.balancer == Uncertainty()
