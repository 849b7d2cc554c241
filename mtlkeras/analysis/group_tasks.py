"""Which tasks to train together, for a number of models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mtlkeras._fields import whole_number
from mtlkeras._types import ArrayLike
from mtlkeras.analysis._arrays import as_numpy
from mtlkeras.analysis._pictures import Table
from mtlkeras.analysis.task_matrix import TaskMatrix

_EXACT_UP_TO = 12

Group = frozenset[int]


@dataclasses.dataclass(frozen=True)
class TaskGroups:
    """Tasks in groups, each for a model of its own; made by `group_tasks`.

    Args:
        groups: The names of the tasks of each group; what `mtlkeras.sharing.Branching(groups=...)` takes.
        by_task: What each task gets in its group.
        score: The sum over the tasks.
        exact: Whether no other grouping has a higher score.
    """

    groups: tuple[tuple[str, ...], ...]
    by_task: dict[str, float]
    score: float
    exact: bool

    def frame(self) -> Table:
        """Returns the tasks with the number of their group, from 1, and what they get, as columns by name."""
        number = {task: i for i, group in enumerate(self.groups, 1) for task in group}
        return {
            "task": list(number),
            "group": list(number.values()),
            "value": [self.by_task[task] for task in number],
        }


def group_tasks(
    matrix: TaskMatrix | ArrayLike,
    groups: int,
    names: Sequence[str] | None = None,
    alone: float = 0.0,
) -> TaskGroups:
    """Splits tasks into at most so many groups, one for each model that there is room for.

    A task gets the mean of what the others of its group do to it, or `alone` if there are none; the sum over
    all tasks is to be the largest. Each task is in one group: other than in the papers, none is trained along
    in a further one only to help there.

    Up to 12 tasks the best grouping is found, by a search over all subsets. Of more tasks, groups that gain
    most (or lose least) by it are merged two by two, from each task alone, until there are few enough and no
    merger gains; then single tasks move to another group while that gains.

    Args:
        matrix: What each task does to each, higher being better: from the row's task to the column's. The
            diagonal does not count. A `TaskMatrix`, or an array with `names`.
        groups: The largest number of groups.
        names: Names of the tasks, for an array.
        alone: What a task gets in a group of its own, on the scale of the matrix: 0 for the gain over the
            single task, as of affinities. Of associations, which are never negative, a task stays alone only
            where others get more without it.

    Raises:
        ValueError: If the matrix is not square, has NaN between two tasks, or `groups` is no whole number
            above 0.

    Example:

    ```python
    affinity = [[0.0, 0.4, -0.2], [0.3, 0.0, -0.1], [-0.3, 0.1, 0.0]]
    found = mtlkeras.analysis.group_tasks(affinity, groups=2, names=("a", "b", "c"))
    found.groups  # (('a', 'b'), ('c',))
    found.score   # 0.7
    ```

    References:
        - Standley et al. 2020, Which Tasks Should Be Learned Together in Multi-task Learning? (groups for a
          budget).
        - Fifty et al. 2021, Efficiently Identifying Task Groupings for Multi-Task Learning (the mean of
          pairwise affinities as a group's).
    """
    matrix = _as_matrix(matrix, names)
    values = matrix.values
    gaps = np.argwhere(~np.isfinite(values) & ~np.eye(len(values), dtype=bool))
    if len(gaps):
        a, b = (matrix.names[i] for i in gaps[0])
        raise ValueError(
            f"group_tasks: the matrix must be finite; received {values[tuple(gaps[0])]} from '{a}' to '{b}'."
        )
    if not np.isfinite(alone):
        raise ValueError(f"group_tasks: alone must be a finite number; received {alone}.")
    worth = _Worth(values, float(alone))
    exact = len(values) <= _EXACT_UP_TO
    found = (_best if exact else _greedy)(len(values), whole_number("group_tasks", "groups", groups), worth)
    ordered = sorted(sorted(group) for group in found)
    got = {task: x for group in found for task, x in worth.gets(group).items()}
    return TaskGroups(
        tuple(tuple(matrix.names[i] for i in group) for group in ordered),
        {name: float(got[i]) for i, name in enumerate(matrix.names)},
        float(sum(got.values())),
        exact,
    )


class _Worth:
    """What groups are worth: called with one, the sum over its tasks.

    Args:
        values: What each task does to each.
        alone: What a task gets alone.
    """

    def __init__(self, values: np.ndarray, alone: float) -> None:
        self._values, self._alone = np.where(np.eye(len(values), dtype=bool), 0.0, values), alone
        self._known: dict[Group, float] = {frozenset(): 0.0}

    def gets(self, group: Group) -> dict[int, float]:
        """Returns what each task of a group gets."""
        if len(group) == 1:
            return dict.fromkeys(group, self._alone)
        inside = sorted(group)
        sums = self._values[np.ix_(inside, inside)].sum(axis=0) / (len(inside) - 1)
        return dict(zip(inside, sums.tolist(), strict=True))

    def __call__(self, group: Group) -> float:
        if group not in self._known:
            self._known[group] = sum(self.gets(group).values())
        return self._known[group]


def _as_matrix(matrix: Any, names: Sequence[str] | None) -> TaskMatrix:
    if isinstance(matrix, TaskMatrix):
        return matrix
    array = as_numpy(matrix)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"group_tasks: expected a square matrix; received shape {array.shape}.")
    return TaskMatrix(tuple(names) if names is not None else tuple(map(str, range(len(array)))), array)


def _best(count: int, groups: int, worth: _Worth) -> list[Group]:
    """Returns the best grouping: the group of the first task that is left, then the best of the rest."""
    of = {mask: worth(_members(mask)) for mask in range(1, 2**count)}

    @functools.cache
    def best(left: int, models: int) -> tuple[float, tuple[int, ...]]:
        if not left:
            return 0.0, ()
        first = left & -left
        found: tuple[float, tuple[int, ...]] = (of[left], (left,))
        if models > 1:
            others = left ^ first
            part = others
            while part:  # All subsets of the others but the whole, which is the line above.
                part = (part - 1) & others
                rest, split = best(others ^ part, models - 1)
                if of[part | first] + rest > found[0]:
                    found = (of[part | first] + rest, (part | first, *split))
        return found

    return [_members(mask) for mask in best(2**count - 1, min(groups, count))[1]]


def _members(mask: int) -> Group:
    return frozenset(i for i in range(mask.bit_length()) if mask >> i & 1)


def _greedy(count: int, groups: int, worth: _Worth) -> list[Group]:
    found = [frozenset((i,)) for i in range(count)]
    while len(found) > 1:
        gain, a, b = max(
            ((worth(a | b) - worth(a) - worth(b), a, b) for i, a in enumerate(found) for b in found[:i]),
            key=lambda merger: merger[0],
        )
        if len(found) <= groups and gain <= 0:
            break
        found = [group for group in found if group not in (a, b)] + [a | b]
    return _moved(found, groups, worth)


def _moved(found: list[Group], groups: int, worth: _Worth) -> list[Group]:
    """Returns groups between which no single task can move with a gain."""
    while True:
        gain, after = max(_moves(found, groups, worth), key=lambda move: move[0], default=(0.0, found))
        if gain <= 1e-12:
            return found
        found = after


def _moves(found: list[Group], groups: int, worth: _Worth) -> Iterable[tuple[float, list[Group]]]:
    """Yields what it gains to move a task to another group, or to one of its own, and the groups then."""
    places: list[Group] = [*found, frozenset()] if len(found) < groups else found
    for a in found:
        for task in sorted(a):
            left, one = a - {task}, frozenset((task,))
            for b in places:
                if b != a and (left or b):
                    before = worth(a) + worth(b)
                    now = worth(b | one) + worth(left)
                    others = [group for group in found if group not in (a, b)]
                    yield now - before, [*others, b | one, *([left] if left else [])]
