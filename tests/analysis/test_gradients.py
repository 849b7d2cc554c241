"""Gradients of tasks beside each other: tasks whose cosine and affinity are known, and brute force."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.analysis import GradientCosines, gradient_cosines, task_affinity
from mtlkeras.heads import Classification, Regression
from mtlkeras.trunks import MLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 5)).astype("float32")
TASKS = ("same", "opposed", "apart", "unknown")


def model_of(heads=None, trunk=None, **compiled):
    keras.utils.set_random_seed(1)
    heads = heads or {"a": Regression(), **{task: Regression() for task in TASKS}}
    model = mtlkeras.build_model((5,), trunk or MLP(depth=2, width=8, dropout=0.5), heads)
    model.compile("sgd", **compiled)
    return model


@pytest.fixture
def known():
    """A model whose heads answer alike, and labels of which the gradients follow."""
    model = model_of(trunk=MLP(depth=2, width=8))
    for task in TASKS:
        model.get_layer(f"{task}_logits").set_weights(model.get_layer("a_logits").get_weights())
    answer = np.asarray(model.predict(X, verbose=0)["a"])[:, 0]
    wrong = RNG.normal(size=16).astype("float32")
    y = {"a": answer - wrong, "same": answer - 2 * wrong, "opposed": answer + wrong}
    return model, {**y, "apart": answer, "unknown": np.full(16, np.nan)}


def test_tasks_that_are_alike_opposed_and_unlabelled(known):
    model, y = known
    before = model.get_weights()
    seen = gradient_cosines(model, (X, y))
    assert list(seen.cosines) == ["hidden_1", "hidden_2", "all"]
    for part, matrix in seen.cosines.items():
        cosines = matrix.values
        np.testing.assert_allclose(cosines[0, :3], [1, 1, -1], atol=1e-5)
        np.testing.assert_allclose(seen.norms[part][1] / seen.norms[part][0], 2, rtol=1e-4)
        assert np.isnan(cosines[0, 4]) and np.isnan(seen.norms[part][4])
    assert np.isnan(seen.losses[4]) and seen.losses[3] < 1e-6
    squares = sum(seen.norms[part] ** 2 for part in ("hidden_1", "hidden_2"))
    np.testing.assert_allclose(seen.norms["all"], np.sqrt(squares), rtol=1e-6)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_affinity_is_that_of_steps_taken_one_by_one(known):
    model, y = known
    y["apart"] = y["apart"] + 1
    affinity = task_affinity(model, (X, y), learning_rate=0.05).values
    assert (affinity[0, :2] > 0).all() and affinity[0, 2] < 0 and np.isnan(affinity[4]).all()
    begin = model.evaluate(X, y, verbose=0, return_dict=True)
    for i, task in enumerate(("a", "same", "opposed", "apart")):
        one = model_of(trunk=MLP(depth=2, width=8))
        one.set_weights(model.get_weights())
        for layer in one.layers:
            layer.trainable = layer is one.trunk
        one.compile("sgd", loss_weights={t: float(t == task) for t in y})
        one.optimizer.learning_rate = 0.05
        one.train_on_batch(X, y)
        after = one.evaluate(X, y, verbose=0, return_dict=True)
        wanted = [1 - after[f"{t}_loss"] / begin[f"{t}_loss"] for t in ("a", "same", "opposed", "apart")]
        np.testing.assert_allclose(affinity[i, :4], wanted, atol=1e-4)


def test_looks_in_training_are_logged_and_change_nothing(tmp_path):
    heads = {"a": Regression(), "b": Classification(3)}
    y = {"a": RNG.normal(size=16), "b": np.arange(16) % 3}
    weights, logs = [], []
    for watch in ([], [GradientCosines((X, y), every=np.int64(2))]):
        model = model_of(heads)
        history = model.fit(X, y, batch_size=4, epochs=2, callbacks=watch, shuffle=False, verbose=0).history
        weights.append(model.get_weights())
        logs.append(history)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    (watched,) = watch
    assert watched.steps == [2, 4, 6, 8] and len(watched.frame()["cosine"]) == 4 * 3
    assert logs[1]["a_b_cosine"] == [watched.history[i].cosines["all"]["b", "a"] for i in (1, 3)]
    norms = watched.history[3].norms["all"]
    assert [logs[1][f"{t}_gradient_share"][1] for t in "ab"] == pytest.approx(norms / norms.sum())
    model.fit(X, y, batch_size=8, callbacks=[watched], verbose=0)
    assert watched.steps == [2, 4, 6, 8, 10], "a further fit is counted on"
    watched.plot(tmp_path / "cosines.png")
    assert (tmp_path / "cosines.png").stat().st_size > 1000
    again, last = gradient_cosines(model, (X, y)).cosines["all"], watched.history[-1].cosines["all"]
    np.testing.assert_allclose(again.values, last.values, atol=1e-6)


def test_what_does_not_fit_is_told():
    y = {"a": np.zeros(16), "b": np.zeros(16)}
    model = mtlkeras.build_model((5,), MLP(), {"a": Regression(), "b": Regression()})
    with pytest.raises(ValueError, match="compile it first"):
        gradient_cosines(model, (X, y))
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"data must be \(inputs, labels\)"):
        gradient_cosines(model, (X,))
    with pytest.raises(ValueError, match="The inputs have no examples"):
        gradient_cosines(model, (X[:0], {task: labels[:0] for task, labels in y.items()}))
    with pytest.raises(ValueError, match="learning_rate must be positive; received 0"):
        task_affinity(model, (X, y), learning_rate=0)
    with pytest.raises(ValueError, match="every must be 'epoch' or a number of steps; received 0"):
        GradientCosines((X, y), every=0)
    with pytest.raises(ValueError, match="nothing was looked at yet"):
        GradientCosines((X, y)).plot()
    apart = mtlkeras.build_model((5,), MLP(), {"a": Regression()})
    apart.compile("sgd")
    with pytest.raises(ValueError, match="share no trainable layer"):
        gradient_cosines(apart, (X, {"a": np.zeros(16)}))
