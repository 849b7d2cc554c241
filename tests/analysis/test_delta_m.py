"""The mean relative gain over a baseline, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mtlkeras.analysis import delta_m


def test_mean_of_relative_gains_in_percent_with_directions():
    scores, baseline = {"a": 0.9, "b": 2.0}, {"a": 0.8, "b": 2.5}
    assert delta_m(scores, baseline, {"a": "up", "b": "down"}) == pytest.approx(100 * (0.125 + 0.2) / 2)
    assert delta_m(baseline, baseline) == 0.0


def test_metrics_of_a_task_count_as_one():
    scores = {"a": {"x": 1.1, "y": 1.3}, "b": 0.9}
    baseline = {"b": 1.0, "a": {"y": 1.0, "x": 1.0}}
    assert delta_m(scores, baseline, "up") == pytest.approx(100 * (0.2 - 0.1) / 2)
    directions = {"a": {"x": "up", "y": "down"}, "b": "down"}
    assert delta_m(scores, baseline, directions) == pytest.approx(100 * (-0.1 + 0.1) / 2)


def test_less_negative_than_a_negative_baseline_is_better():
    assert delta_m({"r2": -0.5}, {"r2": -1.0}) == pytest.approx(50.0)


def test_numbers_of_numpy_are_numbers():
    value = delta_m({"a": np.float32(1.5), "b": np.array([2])}, {"a": np.int64(1), "b": 2.0})
    assert type(value) is float and value == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (({"kind": 1.0}, {"kinds": 1.0}), "baseline has no task 'kind', unlike scores. Did you mean 'kinds'"),
        (({"a": 1.0}, {"a": 1.0, "b": 1.0}), "baseline has also 'b'"),
        (({"a": 1.0}, {"a": 0.0}), "baseline of 'a' is 0"),
        (({"a": float("nan")}, {"a": 1.0}), "scores of 'a' must be finite; received nan"),
        (({"a": 1.0}, {"a": np.inf}), "baseline of 'a' must be finite"),
        (({"a": "good"}, {"a": 1.0}), "scores of 'a' must be a number; received 'good'"),
        (({"a": [1.0, 2.0]}, {"a": 1.0}), "scores of 'a' must be a number"),
        (({"a": 1.0}, {"a": 1.0}, "max"), "directions of 'a' must be 'up' or 'down'; received 'max'"),
        (({"a": 1.0}, {"a": 1.0}, {"b": "up"}), "directions has no task 'a'"),
        (({"a": {"x": 1.0}}, {"a": {"y": 1.0}}), "baseline of 'a' has no metric 'x'"),
        (({"a": {"x": 1.0}}, {"a": 1.0}), "baseline of 'a' must be a dict by metric"),
        (({"a": {}}, {"a": {}}), "task 'a' has no metric"),
        (({}, {}), "no task"),
        (([1.0], {"a": 1.0}), "scores must be a dict by task"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        delta_m(*arguments)
