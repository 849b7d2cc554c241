"""Scores of batches whose mean is a metric, against numbers by example and metrics computed anew."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import mtlkeras
from mtlkeras.analysis import example_scores, jackknife_scores, paired_difference
from mtlkeras.heads import Classification, MultiLabel, Regression
from mtlkeras.trunks import MLP
from tests.support import EAGERLY

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")


def model_of(heads, **compiled):
    keras.utils.set_random_seed(1)
    model = mtlkeras.build_model((4,), MLP(depth=1, width=8), heads)
    model.compile("sgd", run_eagerly=EAGERLY, **compiled)
    return model


def test_of_means_they_are_the_examples_own_numbers():
    model = model_of({"kind": Classification(3), "far": Regression(metrics=("mae",))})
    y = {"kind": np.arange(24) % 4 - 1, "far": RNG.normal(size=24)}
    found = jackknife_scores(model, (X, y))
    scores = example_scores(model, (X, y))
    known = y["kind"] >= 0
    assert set(found) == {"loss", "kind_loss", "kind_accuracy", "far_loss", "far_mae"}
    np.testing.assert_array_equal(np.isnan(found["kind_accuracy"]), ~known)
    np.testing.assert_allclose(found["kind_accuracy"][known], scores["kind"][known], atol=1e-4)
    np.testing.assert_allclose(found["far_mae"], -scores["far"], atol=1e-4)


def test_of_an_auc_they_are_those_of_metrics_computed_anew():
    metric = keras.metrics.AUC(num_thresholds=4000, name="auc")
    model = model_of({"sick": Classification(2, metrics=(metric,))})
    y = (X[:, 0] + RNG.normal(size=24) > 0).astype(int)
    found = jackknife_scores(model, (X, {"sick": y}))["sick_auc"]
    chance = np.asarray(model.predict(X, verbose=0)["sick"])
    chance = chance[:, 1] if chance.ndim > 1 and chance.shape[1] > 1 else chance.ravel()
    left = [roc_auc_score(np.delete(y, i), np.delete(chance, i)) for i in range(24)]
    np.testing.assert_allclose(found, 24 * roc_auc_score(y, chance) - 23 * np.array(left), atol=0.03)
    other = paired_difference(found, np.full(24, 0.5))
    assert other.low < found.mean() - 0.5 < other.high


def test_batches_of_a_data_set_and_metrics_that_do_not_add_up():
    class Last(keras.metrics.Metric):
        """The largest error: batches cannot be added up to it."""

        def __init__(self, name="largest", **kwargs):
            super().__init__(name=name, **kwargs)
            self.value = self.add_weight(name="value", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            error = keras.ops.max(keras.ops.absolute(y_true - y_pred))
            self.value.assign(keras.ops.maximum(self.value, error))

        def result(self):
            return self.value + 0.0

    model = model_of({"far": Regression(metrics=("mae", Last())), "signs": MultiLabel(2)})
    y = {"far": RNG.normal(size=24), "signs": np.full((24, 2), mtlkeras.MISSING)}
    found = jackknife_scores(model, (X, y), batch_size=6)
    assert "far_largest" not in found and not any(name.startswith("signs_") for name in found)
    assert found["far_mae"].shape == (4,)
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert found["far_mae"].mean() == pytest.approx(logs["far_mae"], rel=1e-4)
    again = model.evaluate(X, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(again), "nothing is left in the metrics"


def test_bad_input_is_told():
    model = mtlkeras.build_model((4,), MLP(depth=1, width=8), {"far": Regression()})
    with pytest.raises(ValueError, match="is not compiled"):
        jackknife_scores(model, (X, {"far": X[:, 0]}))
    model.compile("sgd")
    with pytest.raises(ValueError, match="expected two batches or more; received 1"):
        jackknife_scores(model, (X[:1], {"far": X[:1, 0]}))


def test_lists_are_examples_too():
    model = model_of({"far": Regression(metrics=("mae",))})
    y = X[:6, 0]
    one, two = (
        jackknife_scores(model, data) for data in ((X[:6], {"far": y}), (X[:6].tolist(), {"far": y.tolist()}))
    )
    np.testing.assert_allclose(one["far_mae"], two["far_mae"], atol=1e-5)
    with pytest.raises(ValueError, match="batch_size must be at least 1; received 0"):
        jackknife_scores(model, (X, {"far": X[:, 0]}), batch_size=0)
