"""A task that could learn more from its training examples."""

from __future__ import annotations

from collections.abc import Iterator

from mtlkeras._app.checks._constant import constant_score
from mtlkeras._app.checks._series import losses, numbers
from mtlkeras._app.checks.check import NOTE, Check
from mtlkeras._app.checks.facts import Finding, RunFacts, TaskFacts

NO_BETTER, FALLING, FEWEST = 0.02, 0.05, 4

UNDERFIT = Check(
    "MTL002",
    "Underfit task",
    f"The best training score is no more than {NO_BETTER:.0%} of what there is to gain above that of the "
    f"best constant answer; or, a note, the validation loss is lowest in the last epoch and fell by "
    f"{FALLING:.0%} or more in the last quarter of at least {FEWEST} epochs.",
)


def underfit_task(facts: RunFacts) -> Iterator[Finding]:
    """Finds tasks that did not learn their training examples, or were learning still when the run ended.

    What a constant answer reaches is known for accuracy, and for errors and R² of one column of numbers;
    2% of the way from there to a perfect score is what a few lucky examples give. A loss that falls by 5% in
    the last quarter of the epochs falls by more than what is usual on a plateau; fewer than 4 epochs have no
    such quarter.
    """
    for name, task in facts.tasks.items():
        found = _no_better(name, task) or _still_falling(name, task)
        if found is not None:
            yield found


def _no_better(name: str, task: TaskFacts) -> Finding | None:
    scores = numbers(task.history.get(task.metric, ()))
    if task.train_labels is None or not len(scores):
        return None
    classes = None if task.classes is None else len(task.classes)
    constant = constant_score(task.metric, task.train_labels, classes)
    best = float(scores.max() if task.higher_is_better else scores.min())
    perfect = 1.0 if task.higher_is_better else 0.0
    # Labels that are all equal leave nothing to gain, and are a check of their own.
    if constant is None or constant == perfect:
        return None
    if (best - constant) / (perfect - constant) > NO_BETTER:
        return None
    return UNDERFIT.finding(
        name,
        f"The best {task.metric} in training is {best:.4g}, and the best constant answer has {constant:.4g}.",
        "Look whether the labels belong to the inputs, raise the learning rate or the task's loss weight, "
        "give its head hidden layers, or take a larger trunk.",
    )


def _still_falling(name: str, task: TaskFacts) -> Finding | None:
    valid = losses(task, "val_loss")
    if len(valid) < FEWEST or valid[-1] > valid.min():
        return None
    before = valid[-1 - len(valid) // 4]
    fall = before - valid[-1]
    if fall < FALLING * abs(before) or fall <= 0:
        return None
    return UNDERFIT.finding(
        name,
        f"The validation loss fell from {before:.4g} to {valid[-1]:.4g} in the last {len(valid) // 4} of "
        f"{len(valid)} epochs, its lowest.",
        "Train for more epochs.",
        NOTE,
    )
