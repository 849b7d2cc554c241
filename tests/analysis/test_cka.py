"""Linear CKA against the definitions by kernels, and what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from keras import ops

from mtlkeras.analysis import cka

RNG = np.random.default_rng(0)


def by_kernels(a, b):
    """Kornblith et al. 2019: HSIC by centring matrices."""
    h = np.eye(len(a)) - 1 / len(a)
    hsic = [np.trace(x @ x.T @ h @ y @ y.T @ h) for x, y in ((a, b), (a, a), (b, b))]
    return hsic[0] / np.sqrt(hsic[1] * hsic[2])


def unbiased_by_quadruples(a, b):
    """Song et al. 2012: HSIC_1 by its formula, with matrices whose diagonals are 0."""
    n, ones = len(a), np.ones(len(a))
    k, m = (x @ x.T - np.diag(np.sum(x * x, 1)) for x in (a, b))
    return (
        np.trace(k @ m)
        + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ m @ ones)
    ) / (n * (n - 3))


@pytest.mark.parametrize("features", [(3, 5), (40, 6), (30, 50)])
def test_both_ways_to_compute_it_are_the_definition(features):
    a, b = (RNG.normal(2.0, size=(20, n)) for n in features)
    assert cka(a, b) == pytest.approx(by_kernels(a, b))
    parts = [unbiased_by_quadruples(x, y) for x, y in ((a, b), (a, a), (b, b))]
    assert cka(a, b, debiased=True) == pytest.approx(parts[0] / np.sqrt(parts[1] * parts[2]))


def test_it_is_1_under_rotation_shift_and_scale_and_not_under_stretching():
    a = RNG.normal(size=(50, 6))
    rotation = scipy.stats.ortho_group.rvs(6, random_state=0)
    for debiased in (False, True):
        assert cka(a, 1e-3 * a @ rotation + 7.0, debiased) == pytest.approx(1.0)
        assert cka(a, a * [9, 1, 1, 1, 1, 1], debiased) < 0.9
        assert cka(a, -a, debiased) == pytest.approx(1.0)
        assert cka(1e200 * a, 1e-200 * a, debiased) == pytest.approx(1.0)


def test_of_one_feature_it_is_the_squared_correlation():
    a, b = RNG.normal(size=(2, 60))
    expected = scipy.stats.pearsonr(a, b)[0] ** 2
    assert cka(a[:, None], b[:, None]) == pytest.approx(expected)


def test_without_bias_independent_features_have_nothing_in_common():
    draws = [(RNG.normal(size=(30, 60)), RNG.normal(size=(30, 60))) for _ in range(40)]
    assert np.mean([cka(a, b) for a, b in draws]) > 0.5
    assert abs(np.mean([cka(a, b, debiased=True) for a, b in draws])) < 0.02


def test_maps_tensors_and_half_precision_are_taken():
    a = RNG.normal(size=(12, 2, 3, 4)).astype("float16")
    assert cka(a, ops.convert_to_tensor(a.reshape(12, 24).astype("float32"))) == pytest.approx(1.0, abs=1e-3)


def test_examples_all_as_far_from_each_other_leave_nothing_for_the_unbiased_one():
    assert np.isnan(cka(np.eye(5), RNG.normal(size=(5, 2)), debiased=True))


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.ones((5, 2)), np.ones((4, 2)), "a has 5 examples, b 4"),
        (np.full((5, 2), 0.1), np.arange(10.0).reshape(5, 2), "a has the same features for all examples"),
        (np.ones(5), np.ones((5, 2)), r"cka: a: expected shape \(examples, features\)"),
        (np.ones((0, 3)), np.ones((0, 3)), "at least 2 examples; received 0"),
        (np.arange(4.0).reshape(2, 2), np.array([[1.0, np.nan], [1, 2]]), "cka: b: features must be finite"),
        (np.array([["x"], ["y"]]), np.ones((2, 1)), "cka: a: expected numbers"),
    ],
)
def test_bad_features_are_refused(a, b, said):
    with pytest.raises(ValueError, match=said):
        cka(a, b)


def test_the_unbiased_estimate_needs_four_examples():
    with pytest.raises(ValueError, match="at least 4 examples; received 3"):
        cka(np.eye(3), np.eye(3), debiased=True)
