"""A task that the shared trunk hardly hears of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtlkeras._app.checks._labels import percent
from mtlkeras._app.checks._series import numbers
from mtlkeras._app.checks.check import Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

SHARE = 0.1

DROWNED = Check(
    "MTL003",
    "Drowned task",
    f"The task's share of the gradients, times its weight where it has one, is less than {SHARE} of an even "
    f"share; where nobody looked at gradients, both the share of its weight and that of its weighted loss.",
)

_ADVICE = (
    "Raise the task's loss_weight, or take a balancer: GradNorm or IMTL-G even out gradients, Uncertainty or "
    "DWA weigh by losses. If it is meant to count for little, let it be."
)


def drowned_task(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks whose share in what moves the trunk is next to nothing.

    A tenth of an even share (1 of the number of tasks) is where a task's direction hardly shows in the sum;
    shares are medians over all looks, so that a task which is done early, and so has a small gradient at
    the end, is not taken for one. A small weight alone says little, as a balancer by losses gives one to a
    task with a large loss: what it adds to the joint loss has to be small too. A weight of 0 throughout is
    found.
    """
    looked = {name: _median(task.gradient_shares) for name, task in facts.tasks.items()}
    seen = {name: share for name, share in looked.items() if share is not None}
    for name, task in facts.tasks.items():
        if len(facts.tasks) < 2:
            return
        found = _by_gradient(name, facts.tasks, seen) if name in seen else _by_weight(name, task, facts.tasks)
        if found is not None:
            yield DROWNED.finding(name, found, _ADVICE)


def _by_gradient(name: str, tasks: Mapping[str, TaskFacts], shares: Mapping[str, float]) -> str | None:
    even = 1 / len(tasks)
    weights = {task: _median(tasks[task].weights) for task in shares}
    counted = {task: share * _or_one(weights[task]) for task, share in shares.items()}
    total = sum(counted.values())
    own = counted[name] / total if total > 0 else 0.0
    if total <= 0 or own >= SHARE * even:
        return None
    by_weight = (
        "" if weights[name] is None else f", and {percent(own)} with its weight of {weights[name]:.3g}"
    )
    return (
        f"Its gradient is {percent(shares[name])} of the sum of the tasks' in half of the looks{by_weight}; "
        f"an even share is {percent(even)}."
    )


def _by_weight(name: str, task: TaskFacts, tasks: Mapping[str, TaskFacts]) -> str | None:
    weights = {other: _median(facts.weights) for other, facts in tasks.items()}
    if weights[name] is None or any(weight is None for weight in weights.values()):
        return None
    own = _share(name, {other: weight or 0.0 for other, weight in weights.items()})
    added = _share(name, {other: _weighted_loss(facts) for other, facts in tasks.items()})
    even = 1 / len(tasks)
    if own is None or own >= SHARE * even or (added is not None and added >= SHARE * even):
        return None
    of_loss = "" if added is None else f", which makes {percent(added)} of the joint loss"
    return (
        f"Its weight is {weights[name]:.3g}, {percent(own)} of the sum of the tasks' in half of the epochs"
        f"{of_loss}; an even share is {percent(even)}."
    )


def _share(name: str, values: Mapping[str, float | None]) -> float | None:
    """Returns a task's share in a sum; `None` if a part is not known or there is nothing to share."""
    parts = {other: value for other, value in values.items() if value is not None}
    total = sum(map(abs, parts.values()))
    return abs(parts[name]) / total if len(parts) == len(values) and total > 0 else None


def _weighted_loss(task: TaskFacts) -> float | None:
    losses = [np.nan if value is None else value for value in task.history.get("loss", ())]
    return _median([weight * loss for weight, loss in zip(task.weights, losses, strict=False)])


def _median(values: Sequence[float]) -> float | None:
    found = numbers(values)
    return float(np.median(found)) if len(found) else None


def _or_one(weight: float | None) -> float:
    return 1.0 if weight is None else abs(weight)
