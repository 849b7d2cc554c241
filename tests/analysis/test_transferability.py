"""LogME and H-score against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from sklearn.cross_decomposition import CCA

from mtlkeras.analysis import h_score, logme

RNG = np.random.default_rng(5)
F = RNG.normal(size=(60, 4)) @ RNG.normal(size=(4, 4)) + 0.5
Y = F @ [1.0, -2.0, 0.0, 0.5] + RNG.normal(size=60)
KIND = np.digitize(Y, [-1.0, 1.5])


def evidence(features, y):
    """The largest density of a Gaussian with covariance I / beta + F F' / alpha, by SciPy."""

    def negative(logs):
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(y)) / beta + features @ features.T / alpha
        return -scipy.stats.multivariate_normal.logpdf(y, cov=covariance) / len(y)

    found = [scipy.optimize.minimize(negative, start, method="Nelder-Mead") for start in ((0, 0), (3, 1))]
    return -min(result.fun for result in found)


def test_logme_of_numbers_is_the_maximum_of_the_evidence():
    expected = evidence(F, Y)
    assert logme(F, Y) == pytest.approx(expected, abs=1e-6)
    assert logme(F, np.stack([Y, Y], 1)) == pytest.approx(expected, abs=1e-6)


def test_logme_of_classes_is_the_mean_over_them():
    expected = np.mean([evidence(F, (KIND == k).astype(float)) for k in range(3)])
    assert logme(F, KIND) == pytest.approx(expected, abs=1e-6)
    assert logme(F, KIND.astype("int8")[:, None]) == pytest.approx(expected, abs=1e-6)


def test_with_more_features_than_examples_too():
    wide = RNG.normal(size=(20, 50))
    assert logme(wide, Y[:20]) == pytest.approx(evidence(wide, Y[:20]), abs=1e-5)


def test_logme_of_what_features_do_not_tell_is_that_of_noise_alone():
    """The evidence of y with no weights: n/2 log(n / (2 pi e y'y)), per example."""
    x = np.repeat([1.0, -1.0], 10)[:, None]
    y = np.tile([1.0, -1.0], 10)
    assert logme(x, y) == pytest.approx(0.5 * np.log(1 / (2 * np.pi * np.e)))


def test_features_that_tell_more_have_more_of_both():
    noise = [F + s * RNG.normal(size=F.shape) for s in (0.0, 3.0, 30.0)]
    for measure in (logme, h_score):
        values = [measure(x, KIND) for x in noise]
        assert values == sorted(values, reverse=True) and values[0] > values[2] + 0.1


def test_rotation_and_scale_of_features_change_neither_as_they_should():
    rotation = scipy.stats.ortho_group.rvs(4, random_state=0)
    assert logme(1e3 * F @ rotation, Y) == pytest.approx(logme(F, Y))
    assert h_score(F @ RNG.normal(size=(4, 4)) + 9.0, KIND) == pytest.approx(h_score(F, KIND))


def test_h_score_is_the_trace_of_its_definition():
    means = np.stack([F[KIND == k].mean(0) for k in range(3)])[KIND]
    expected = np.trace(np.linalg.inv(np.cov(F.T)) @ np.cov(means.T))
    assert h_score(F, KIND) == pytest.approx(expected)


def test_h_score_is_the_sum_of_squared_canonical_correlations():
    rows = np.eye(3)[KIND][:, :2]
    a, b = CCA(2, max_iter=5000, tol=1e-12).fit_transform(F, rows)
    correlations = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(2)]
    assert h_score(F, KIND) == pytest.approx(np.sum(np.square(correlations)), rel=1e-4)


def test_h_score_of_classes_told_by_the_features_and_of_those_that_are_not():
    kind = np.arange(60) % 3
    assert h_score(np.eye(3)[kind], kind) == pytest.approx(2.0)
    assert h_score(np.eye(3)[kind] @ np.ones((3, 7)) + kind[:, None], kind) == pytest.approx(1.0)
    assert h_score(np.repeat([[0.0], [1.0]], 30, 0), kind) == pytest.approx(0.0)
    assert h_score(np.full((60, 2), 0.1), kind) == 0.0


def test_missing_labels_are_left_out():
    kind, y = KIND.copy(), Y.copy()
    kind[::4], y[::4] = -1, np.nan
    kept = np.arange(60) % 4 != 0
    assert logme(F, kind) == pytest.approx(logme(F[kept], kind[kept]))
    assert h_score(F, kind) == pytest.approx(h_score(F[kept], kind[kept]))
    assert logme(F, y) == pytest.approx(logme(F[kept], y[kept]))


def test_an_exact_fit_has_a_finite_logme_above_all_others():
    exact = logme(F, F @ [1.0, 0.0, 2.0, 0.0])
    assert np.isfinite(exact) and exact > logme(F, Y)


@pytest.mark.parametrize(
    ("measure", "labels", "said"),
    [
        (logme, np.zeros(60, int), "expected at least two classes; received labels of 0 only"),
        (h_score, np.zeros(60, int), "expected at least two classes; received labels of 0 only"),
        (h_score, Y, "expected classes as whole numbers; received floats"),
        (logme, KIND[:5], "expected 60 labels"),
        (logme, np.full(60, np.nan), "at least two examples with labels; received 0"),
        (logme, np.array(["a"] * 60), "received the type <U1"),
        (logme, np.zeros(60), "a column of labels is 0 throughout"),
        (logme, np.zeros((60, 2), int), r"classes must have shape \(examples,\)"),
    ],
)
def test_bad_labels_are_refused(measure, labels, said):
    with pytest.raises(ValueError, match=said):
        measure(F, labels)


def test_bad_features_are_refused():
    with pytest.raises(ValueError, match="h_score: features: features must be finite"):
        h_score(np.where(F > 1, np.nan, F), KIND)
    with pytest.raises(ValueError, match="features are 0 throughout"):
        logme(0 * F, Y)
