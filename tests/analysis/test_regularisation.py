"""Efficiency of regularisation on sweeps of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from mtlkeras.analysis import regularisation_efficiency


def sweep(train, test, **more):
    return [
        {"task": "a", "setting": f"l2={i}", "train": s, "test": t, **more}
        for i, (s, t) in enumerate(zip(train, test, strict=True))
    ]


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([0.9, 0.9, 0.9], [0.6, 0.7, 0.8], 1.0),  # All that the gap lost was gained.
        ([0.9, 0.8, 0.7], [0.6, 0.6, 0.6], 0.0),  # Nothing was.
        ([0.9, 0.8, 0.7], [0.6, 0.65, 0.7], 1 / 3),  # A third: the gap goes 0.3, 0.15, 0.
        ([0.9, 0.7, 0.5], [0.6, 0.5, 0.4], -1.0),  # Both fell.
        ([0.9, 0.95], [0.6, 0.7], 2.0),  # Both rose.
    ],
)
def test_known_sweeps(train, test, expected):
    assert regularisation_efficiency(sweep(train, test)).efficiency == {"a": pytest.approx(expected)}
    backwards = regularisation_efficiency(sweep(train[::-1], test[::-1]))
    assert backwards.efficiency["a"] == pytest.approx(expected)


def test_it_is_the_slope_of_least_squares_with_its_sign_turned():
    train, test = np.random.default_rng(0).normal(size=(2, 12))
    found = regularisation_efficiency(sweep(train, test))
    assert found.efficiency["a"] == pytest.approx(-scipy.stats.linregress(train - test, test).slope)
    (curve,) = found.curves
    assert (np.diff(curve.gaps) <= 0).all() and len(found.points()["gap"]) == 12
    frame = found.frame()
    assert frame["best_setting"] == [f"l2={test.argmax()}"] and frame["settings"] == [12]


def test_errors_count_with_their_sign_turned():
    loss = sweep([0.1, 0.2, 0.3], [0.9, 0.7, 0.6])
    score = sweep([-0.1, -0.2, -0.3], [-0.9, -0.7, -0.6])
    down = regularisation_efficiency(loss, "down")
    assert down.efficiency["a"] == pytest.approx(regularisation_efficiency(score).efficiency["a"])
    assert down.curves[0].gaps[0] == pytest.approx(0.8)


def test_tasks_and_series_are_measured_apart():
    rows = [
        *sweep([0.9, 0.9], [0.6, 0.8], series="alone"),
        *sweep([0.9, 0.8], [0.7, 0.7], series="together"),
        {"task": "b", "train": 1, "test": np.float32(3)},
        {"task": "b", "train": 2, "test": 3},
    ]
    found = regularisation_efficiency(iter(rows), {"a": "up", "b": "down"})
    assert found.efficiency == {
        "a, alone": pytest.approx(1.0),
        "a, together": pytest.approx(0.0),
        "b": pytest.approx(0.0),
    }
    figure = found.plot()
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Regularisation of a",
        "Regularisation of b",
    ]
    assert figure.axes[0].get_xlabel() == "gap: training less test score"


@pytest.mark.parametrize(
    ("rows", "directions", "said"),
    [
        (sweep([0.9], [0.6]), "up", "settings of different gaps .* received 1 of gaps from 0.3 to 0.3"),
        (sweep([0.9, 0.8], [0.6, 0.5]), "up", "settings of different gaps"),
        ([], "up", "no row"),
        ([{"task": "a", "train": 1.0}], "up", "row 0 has no 'test'"),
        (
            [{"task": "a", "train": 1.0, "tset": 1.0}],
            "up",
            "Unknown key 'tset' in row 0 .*Did you mean 'test'",
        ),
        (sweep([0.9, float("nan")], [0.6, 0.5]), "up", "'train' of row 1 must be finite"),
        (sweep([0.9, "good"], [0.6, 0.5]), "up", "'train' of row 1 must be a number; received 'good'"),
        (
            sweep([0.9, 0.8], [0.6, 0.6]),
            "max",
            "direction of task 'a' must be 'up' or 'down'; received 'max'",
        ),
        (sweep([0.9, 0.8], [0.6, 0.6]), {"b": "up"}, "Unknown task 'b' in directions"),
        ([0.9], "up", "row 0 must be a dict"),
    ],
)
def test_what_is_no_sweep_is_refused(rows, directions, said):
    with pytest.raises(ValueError, match=said):
        regularisation_efficiency(rows, directions)
