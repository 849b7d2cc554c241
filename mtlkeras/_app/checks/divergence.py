"""A task whose loss broke off or ran away."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mtlkeras._app.checks._series import losses
from mtlkeras._app.checks.check import Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

DIVERGED = Check(
    "MTL011",
    "NaN or diverged",
    "A task's training or validation loss is NaN or infinite in an epoch; or the training loss ends above "
    "where it began, and at twice its lowest or more.",
)

_ADVICE = (
    "Lower the learning rate, clip gradients (clipnorm of the optimizer), look for NaN in the inputs "
    "(--check-inputs), and under float16 let Keras scale the loss."
)


def diverged_task(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks with a loss that is no number, or that unlearnt what they had learnt.

    Losses scatter from epoch to epoch, but end at twice their lowest and above the first epoch's mean, which
    is that of an untrained model in part, only if training went wrong. A task without labels in an epoch has
    the loss 0, and no NaN.
    """
    for name, task in facts.tasks.items():
        evidence = _no_number(task) or _ran_away(task)
        if evidence is not None:
            yield DIVERGED.finding(name, evidence, _ADVICE)


def _no_number(task: TaskFacts) -> str | None:
    for key, what in (("loss", "training"), ("val_loss", "validation")):
        series = task.history.get(key, ())
        bad = [i for i, value in enumerate(series, 1) if value is None or not math.isfinite(value)]
        if bad:
            return (
                f"The {what} loss is no finite number in {len(bad)} of {len(series)} epochs, first in epoch "
                f"{bad[0]}."
            )
    return None


def _ran_away(task: TaskFacts) -> str | None:
    train = losses(task, "loss")
    if len(train) < 2:
        return None
    first, lowest, last = (float(value) for value in (train[0], train.min(), train[-1]))
    if last <= first or last - lowest < abs(lowest) or last == lowest:
        return None
    return f"The training loss began at {first:.4g}, fell to {lowest:.4g} and ends at {last:.4g}."
