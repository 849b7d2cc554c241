"""Temperatures that are known, and what a scaled model keeps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special

import mtlkeras
from mtlkeras.analysis import calibration, scale_temperature
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression

pytestmark = pytest.mark.eager
RNG = np.random.default_rng(2)
X = RNG.normal(size=(400, 4)).astype("float32")


def build(heads=None, **kwargs):
    heads = heads or {"k": Classification(3), "m": MultiLabel(2), "r": Regression(), "o": Ordinal(3)}
    return mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=6), heads, **kwargs)


def labels_of(model):
    """Labels drawn from what a model says, so that it is as sure as it is right."""
    outputs = model.predict(X, 400, verbose=0)
    return {
        "k": np.array([RNG.choice(3, p=p / p.sum()) for p in outputs["k"].astype("float64")]),
        "m": (RNG.random((400, 2)) < outputs["m"]).astype(int),
        "r": outputs["r"][:, 0],
        "o": np.zeros(400, int),
    }


def sharpened(factor):
    """A model that was as sure as it is right, made surer; its outputs before, and labels."""
    model = build()
    for task in ("k", "m"):
        layer = model.get_layer(f"{task}_logits")
        layer.set_weights([4 * w for w in layer.get_weights()])
    y, before = labels_of(model), model.predict(X, 400, verbose=0)
    for task in ("k", "m"):
        layer = model.get_layer(f"{task}_logits")
        layer.set_weights([factor * w for w in layer.get_weights()])
    return model, before, y


def test_a_known_temperature_is_found_and_kept(tmp_path):
    model, before, y = sharpened(5.0)
    y["k"][::7], y["m"][::3, 1] = -1, -1
    sure, behind = model.scored.predict(X, 400, verbose=0)
    found = scale_temperature(model, X, y, batch_size=400)
    assert set(found) == {"k", "m"} and found["k"] == pytest.approx(5, rel=0.3)
    after = model.predict(X, 400, verbose=0)
    for task in ("k", "m"):
        known = y[task] >= 0
        ece = [calibration(outputs[task][known], y[task][known]).ece for outputs in (sure, after)]
        assert ece[1] < ece[0] / 2
        np.testing.assert_allclose(after[task], before[task], atol=0.1)
    np.testing.assert_array_equal(after["k"].argmax(1), sure["k"].argmax(1))
    for task in ("r", "o"):
        np.testing.assert_array_equal(after[task], sure[task])
    scores = behind["k"].astype("float64")

    def loss(t):
        told = scipy.special.log_softmax(scores / t, axis=1)
        return -np.mean(np.take_along_axis(told, y["k"][:, None], 1)[y["k"] >= 0])

    best = scipy.optimize.minimize_scalar(loss, bounds=(0.1, 30), method="bounded").x
    assert found["k"] == pytest.approx(best, rel=1e-3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    # As rows the labels are the same, and nothing is left to scale.
    rows = np.where(y["k"][:, None] < 0, np.nan, np.eye(3)[y["k"]]).astype("float32")
    left = scale_temperature(again, X, {"k": rows, "m": y["m"]}, batch_size=400)
    assert left == {"k": pytest.approx(1, abs=1e-3), "m": pytest.approx(1, abs=1e-3)}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (lambda y: scale_temperature(build(), X, y, tasks=["kk"]), "Unknown task 'kk' in tasks="),
        (lambda y: scale_temperature(build(), X, y, tasks=["o"]), "'o' has the head Ordinal, whose scores"),
        (
            lambda y: scale_temperature(build(), X, {"r": y["r"]}),
            "no task with labels can be scaled: 'r' has",
        ),
        (lambda y: scale_temperature(build(), X, {"k": y["k"]}, tasks=["m"]), "'m' has no labels"),
        (lambda y: scale_temperature(build(), X, {"k": [-1] * 400}), "'k' has no label"),
        (lambda y: scale_temperature(build(), X[:9], {"k": y["k"]}), "400 labels for 9 examples"),
        (
            lambda y: scale_temperature(
                build({"k": Classification(3), "r": Regression(after=("k",))}), X, {"k": y["k"]}
            ),
            "'k' has scores that other tasks read",
        ),
        (
            lambda y: scale_temperature(
                build({"k": Classification(3), "o": Ordinal(3)}, dependence=TaskChain(("k", "o"))),
                X,
                {"k": y["k"]},
            ),
            "'k' has no single dense layer",
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(case, said):
    with pytest.raises(ValueError, match=said):
        case({"k": RNG.integers(0, 3, 400), "r": X[:, 0]})


def test_answers_that_are_all_right_have_no_best_temperature():
    model = build({"k": Classification(3)})
    with pytest.raises(ValueError, match="no best temperature from 0.01 to 1000: its answers are all right"):
        scale_temperature(model, X, {"k": model.predict(X, 400, verbose=0)["k"].argmax(1)})
