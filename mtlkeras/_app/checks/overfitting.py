"""A task that learns its training examples by heart."""

from __future__ import annotations

from collections.abc import Iterator

from mtlkeras._app.checks._series import losses, numbers
from mtlkeras._app.checks.check import NOTE, WARNING, Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

RISE, GAP, WORSE = 0.1, 0.1, 0.01

OVERFIT = Check(
    "MTL001",
    "Overfit task",
    f"The validation loss ends {RISE:.0%} or more above its lowest while the training loss went on falling; "
    f"or the training score, between 0 and 1, ends {GAP} or more above that of the validation split.",
)

_ADVICE = (
    "Stop earlier (EarlyStoppingPerTask stops one task alone), add dropout, l2 or augmentation, or make the "
    "task's head smaller."
)


def overfit_task(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks whose validation loss rises while the training loss falls, or that score worse there.

    The rise is measured against the lowest validation loss, or against how far it had fallen if that is more,
    so that a loss next to zero may double unnoticed: 10% of that is above the scatter from epoch to epoch of
    a few hundred validation examples. Where the validation score did not get worse by 0.01 meanwhile, the
    answers are as good as before and only too sure of themselves: a note. A gap of 0.1 between two
    scores from 0 to 1 is no scatter; the training score is taken with dropout on, so the gap is no less.
    """
    for name, task in facts.tasks.items():
        found = _rise(name, task) or _gap(name, task)
        if found is not None:
            yield found


def _rise(name: str, task: TaskFacts) -> Finding | None:
    train, valid = losses(task, "loss"), losses(task, "val_loss")
    if len(valid) < 2 or len(train) != len(valid):
        return None
    best = int(valid.argmin())
    rise = valid[-1] - valid[best]
    scale = max(abs(valid[best]), valid[0] - valid[best])
    if rise <= 0 or rise < RISE * scale or train[-1] >= train[best]:
        return None
    evidence = (
        f"The validation loss was lowest in epoch {best + 1} of {len(valid)}, {valid[best]:.4g}, and is "
        f"{valid[-1]:.4g} at the end, while the training loss fell from {train[best]:.4g} to {train[-1]:.4g}."
    )
    worse = _got_worse(task)
    if worse is False:
        evidence += (
            f" The validation {task.metric} did not get worse: answers are too sure rather than wrong."
        )
    return OVERFIT.finding(name, evidence, _ADVICE, NOTE if worse is False else WARNING)


def _got_worse(task: TaskFacts) -> bool | None:
    """Whether the validation score ends below its best; `None` if it is not known."""
    scores = numbers(task.history.get(f"val_{task.metric}", ()))
    if not len(scores):
        return None
    best = scores.max() if task.higher_is_better else scores.min()
    return bool(abs(best - scores[-1]) >= WORSE * max(abs(best), 1e-12))


def _gap(name: str, task: TaskFacts) -> Finding | None:
    pair = [numbers(task.history.get(key, ())) for key in (task.metric, f"val_{task.metric}")]
    if not task.higher_is_better or not all(len(values) for values in pair):
        return None
    train, valid = (float(values[-1]) for values in pair)
    bounded = all(((values >= 0) & (values <= 1)).all() for values in pair)
    if not bounded or train - valid < GAP - 1e-9:
        return None
    return OVERFIT.finding(
        name, f"The {task.metric} ends at {train:.3f} in training and at {valid:.3f} in validation.", _ADVICE
    )
