"""Our metrics against scikit-learn."""

import keras
import numpy as np
import pytest

from mtlkeras.metrics import BinaryAUC, MacroF1, OrdinalAccuracy, OrdinalError

sklearn_metrics = pytest.importorskip("sklearn.metrics")
RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(4), 60).astype("float32")
LABELS = RNG.integers(0, 4, 60)
WEIGHTS = RNG.random(60).astype("float32")


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_macro_f1(weights):
    metric = MacroF1(4)
    for half in (slice(0, 25), slice(25, 60)):
        metric.update_state(LABELS[half], PROBABILITIES[half], None if weights is None else weights[half])
    expected = sklearn_metrics.f1_score(
        LABELS, PROBABILITIES.argmax(-1), average="macro", sample_weight=weights, labels=range(4)
    )
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_binary_auc(weights):
    labels, two = LABELS % 2, np.stack([1 - PROBABILITIES[:, 0], PROBABILITIES[:, 0]], 1)
    metric = BinaryAUC(num_thresholds=5000)
    metric.update_state(labels, two, weights)
    expected = sklearn_metrics.roc_auc_score(labels, two[:, 1], sample_weight=weights)
    np.testing.assert_allclose(float(metric.result()), expected, atol=1e-3)


def test_ordinal_metrics_use_the_median():
    median = (np.cumsum(PROBABILITIES, -1) < 0.5).sum(-1)
    accuracy, error = OrdinalAccuracy(), OrdinalError()
    accuracy.update_state(LABELS, PROBABILITIES)
    error.update_state(LABELS, PROBABILITIES)
    np.testing.assert_allclose(float(accuracy.result()), (median == LABELS).mean(), rtol=1e-6)
    np.testing.assert_allclose(float(error.result()), abs(median - LABELS).mean(), rtol=1e-6)


@pytest.mark.parametrize(
    "metric", [BinaryAUC(), MacroF1(3), OrdinalAccuracy(), OrdinalError()], ids=lambda m: m.name
)
def test_config_round_trip_and_direction(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert again._direction == ("down" if metric.name == "mae" else "up")
