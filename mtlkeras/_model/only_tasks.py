"""Building a model of some tasks where its builder names more.

`mtlkeras train --tasks` and `mtlkeras baseline` train models of a recipe's tasks alone, with the same trunk,
data and optimizer. The recipe's `build(hp)` is called as ever, and `build_model` and `compile` within leave
the other tasks out.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras.dependence import Dependence
from mtlkeras.heads.base import Head
from mtlkeras.sharing import Sharing

_TASKS: contextvars.ContextVar[tuple[str, ...] | None] = contextvars.ContextVar("tasks", default=None)


@contextlib.contextmanager
def only_tasks(tasks: Sequence[str] | None) -> Iterator[None]:
    """Has models that are built and compiled in it leave other tasks out; `None` leaves all in."""
    token = _TASKS.set(None if tasks is None else tuple(tasks))
    try:
        yield
    finally:
        _TASKS.reset(token)


def chosen_parts(
    heads: Mapping[str, Head], sharing: Sharing | None, dependence: Dependence | None
) -> tuple[Mapping[str, Head], Sharing | None, Dependence | None]:
    """Returns what a model is to be built of: a task alone shares with none, and depends on none.

    Raises:
        ValueError: If a task is unknown.
    """
    tasks = _TASKS.get()
    if tasks is None:
        return heads, sharing, dependence
    for task in tasks:
        if task not in heads:
            raise unknown_name("task", task, heads, "the tasks to train")
    kept = {task: _without_others(head, tasks) for task, head in heads.items() if task in tasks}
    whole = len(kept) == len(heads)
    depend = dependence if whole or dependence is None or _within(dependence, kept) else None
    return kept, sharing if len(kept) > 1 else None, depend


def chosen_arguments(arguments: Mapping[str, Any], joint: Any, balancer: Any, count: int) -> tuple[Any, ...]:
    """Returns arguments of `compile` by task, joint metrics and balancer, without the tasks left out.

    Args:
        arguments: Arguments that may be dicts by task.
        joint: Joint metrics.
        balancer: The balancer; with one task there is nothing to balance.
        count: Number of tasks of the model.
    """
    tasks = _TASKS.get()
    if tasks is None:
        return arguments, joint, balancer
    kept = {
        name: {task: v for task, v in value.items() if task in tasks} if isinstance(value, Mapping) else value
        for name, value in arguments.items()
    }
    listed = joint if isinstance(joint, (list, tuple)) else [] if joint is None else [joint]
    known = [metric for metric in listed if set(getattr(metric, "tasks", ())) <= set(tasks)]
    return kept, known or None, balancer if count > 1 else None


def _without_others(head: Head, tasks: Sequence[str]) -> Head:
    after = getattr(head, "after", ())
    kept = tuple(task for task in after if task in tasks)
    return head.replace(after=kept) if kept != tuple(after) else head


def _within(dependence: Dependence, tasks: Mapping[str, Any]) -> bool:
    return {task for pair in dependence.links for task in pair} <= set(tasks)
