"""Groups of tasks against every way to split them."""

from __future__ import annotations

import numpy as np
import pytest

from mtlkeras.analysis import TaskMatrix, group_tasks
from mtlkeras.analysis.group_tasks import _greedy, _Worth

RNG = np.random.default_rng(1)


def partitions(items):
    """Yields every split of a list into groups."""
    if not items:
        yield []
        return
    first, *rest = items
    for split in partitions(rest):
        yield [[first], *split]
        for i, group in enumerate(split):
            yield [*split[:i], [first, *group], *split[i + 1 :]]


def score(values, split, alone):
    return sum(
        np.mean([values[i, j] for i in group if i != j]) if len(group) > 1 else alone
        for group in split
        for j in group
    )


@pytest.mark.parametrize("groups", [1, 2, 3, 6, 9])
def test_no_split_is_better(groups):
    for alone in (0.0, 0.3):
        values = RNG.normal(size=(6, 6))
        found = group_tasks(values, groups, alone=alone)
        best = max(score(values, s, alone) for s in partitions(list(range(6))) if len(s) <= groups)
        assert found.exact and found.score == pytest.approx(best)
        split = [[int(task) for task in group] for group in found.groups]
        assert sorted(sum(split, [])) == list(range(6)) and len(split) <= groups
        assert score(values, split, alone) == pytest.approx(best)
        assert sum(found.by_task.values()) == pytest.approx(best)


def block_matrix(sizes):
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(kinds[:, None] == kinds, 1.0, -1.0) + 0.1 * RNG.normal(size=(len(kinds),) * 2), kinds


@pytest.mark.parametrize("sizes", [(3, 2, 4), (6, 5, 9)])
def test_tasks_that_help_each_other_are_found(sizes):
    values, kinds = block_matrix(sizes)
    order = RNG.permutation(len(kinds))
    found = group_tasks(values[np.ix_(order, order)], groups=3)
    assert found.exact == (sum(sizes) <= 12)
    assert {frozenset(kinds[order][int(task)] for task in group) for group in found.groups} == {
        frozenset([kind]) for kind in range(3)
    }


def test_greedy_groups_are_nearly_the_best_and_keep_to_the_budget():
    for _ in range(10):
        values = RNG.normal(size=(7, 7))
        worth = _Worth(values, 0.0)
        for groups in (1, 2, 4):
            split = _greedy(7, groups, worth)
            assert sorted(task for group in split for task in group) == list(range(7))
            assert len(split) <= groups
            best = group_tasks(values, groups).score
            assert best - 2.5 <= sum(map(worth, split)) <= best + 1e-9


def test_tasks_that_harm_each_other_stay_alone_if_there_is_room():
    values = -np.ones((4, 4))
    assert group_tasks(values, 4).groups == (("0",), ("1",), ("2",), ("3",))
    assert group_tasks(values, 4, alone=-2.0).groups == (("0", "1", "2", "3"),)
    found = group_tasks(values, 3)
    assert len(found.groups) == 3 and found.score == -2.0


def test_help_goes_from_the_row_to_the_column():
    found = group_tasks(TaskMatrix(("a", "b"), [[np.nan, 0.5], [-0.1, np.nan]]), 1)
    assert found.by_task == {"a": -0.1, "b": 0.5}
    assert found.frame() == {"task": ["a", "b"], "group": [1, 1], "value": [-0.1, 0.5]}
    assert group_tasks([[0.0]], 3).groups == (("0",),)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[0.0, np.nan], [1.0, 0.0]], 1, ("a", "b")), "received nan from 'a' to 'b'"),
        (([[0.0, 1.0]], 1), r"square matrix; received shape \(1, 2\)"),
        ((np.eye(2), 0), "groups must be a whole number of at least 1; received 0"),
        ((np.eye(2), 1, ("a",)), "1 names need values of shape"),
        ((np.eye(2), 1, None, np.nan), "alone must be a finite number"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        group_tasks(*arguments)
