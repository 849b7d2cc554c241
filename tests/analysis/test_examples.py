"""Scores of single examples, and differences of two models on the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import mtlkeras
from mtlkeras.analysis import example_scores, paired_difference
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression, Segmentation
from mtlkeras.trunks import MLP, ResNet

RNG = np.random.default_rng(0)


def test_scores_are_those_of_the_metrics_in_the_mean():
    heads = {
        "kind": Classification(3),
        "grade": Ordinal(4),
        "signs": MultiLabel(2, metrics=("accuracy",)),
        "far": Regression(num_targets=2, metrics=("mae",)),
    }
    model = mtlkeras.build_model((4,), MLP(depth=1), heads)
    model.compile("sgd")
    x = RNG.normal(size=(9, 4))
    y = {
        "kind": np.array([0, 1, 2, -1, 0, 1, 2, 0, 1]),
        "grade": np.array([0, 1, 2, 3, 0, 1, 2, 0, -1]),
        "signs": RNG.integers(-1, 2, (9, 2)),
        "far": RNG.normal(size=(9, 2)),
    }
    y["signs"][:2], y["signs"][2] = [0, 1], -1
    scores = example_scores(model, (x, y))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert np.isnan(scores["kind"][3]) and np.isnan(scores["signs"][2]) and np.isnan(scores["grade"][8])
    assert np.nanmean(scores["kind"]) == pytest.approx(logs["kind_accuracy"])
    assert np.nanmean(scores["grade"]) == pytest.approx(logs["grade_accuracy"])
    assert -np.nanmean(scores["far"]) == pytest.approx(logs["far_mae"], rel=1e-5)
    answers = np.asarray(model.predict(x, verbose=0)["signs"]) > 0.5
    shares = [
        np.mean((a == t)[t >= 0]) if (t >= 0).any() else np.nan
        for a, t in zip(answers, y["signs"], strict=True)
    ]
    np.testing.assert_array_equal(scores["signs"], shares)


def test_pixels_of_pictures_are_entries_of_an_example():
    heads = {"mask": Segmentation(2, width=4)}
    model = mtlkeras.build_model((8, 8, 1), ResNet(depth=8, width=4, stem="small"), heads)
    model.compile("sgd")
    x, y = RNG.normal(size=(2, 8, 8, 1)), RNG.integers(-1, 2, (2, 8, 8))
    answers = np.asarray(model.predict(x, verbose=0)["mask"]).argmax(-1)
    shares = [np.mean((a == t)[t >= 0]) for a, t in zip(answers, y, strict=True)]
    np.testing.assert_allclose(example_scores(model, (x, {"mask": y}))["mask"], shares)


def test_interval_and_test_are_those_of_scipy():
    one, other = RNG.normal(0.3, 1, 60), RNG.normal(0, 1, 60)
    found = paired_difference([one - 0.1, one + 0.1], other, draws=20_000)
    assert found.mean == pytest.approx(np.mean(one - other)) and found.examples == 60
    wanted = scipy.stats.bootstrap(
        (one - other,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([found.low, found.high], wanted, atol=0.02)
    test = scipy.stats.permutation_test(
        (one - other,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    assert found.p_value == pytest.approx(test.pvalue, abs=0.01)


def test_examples_without_a_score_are_left_out_and_equal_ones_do_not_differ():
    found = paired_difference([1.0, np.nan, 0.0, 1.0], [1.0, 1.0, 0.0, np.nan])
    assert (found.mean, found.low, found.high, found.p_value, found.examples) == (0.0, 0.0, 0.0, 1.0, 2)
    with pytest.raises(ValueError, match="expected scores of the same examples; received 3 and 2"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="expected two examples with both scores; received 1"):
        paired_difference([1, np.nan], [1, 2])
    with pytest.raises(ValueError, match="level must be within 0 and 1"):
        paired_difference([1, 2], [1, 2], level=95)
