"""All checks, and what they find in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mtlkeras._app.checks.check import SEVERITIES, Check
from mtlkeras._app.checks.conflict import CONFLICT, conflicting_tasks
from mtlkeras._app.checks.divergence import DIVERGED, diverged_task
from mtlkeras._app.checks.drowning import DROWNED, drowned_task
from mtlkeras._app.checks.facts import Finding, RunFacts
from mtlkeras._app.checks.imbalance import IMBALANCE, imbalanced_classes
from mtlkeras._app.checks.missing import UNLABELLED, UNSEEN, missing_labels, unseen_class
from mtlkeras._app.checks.no_better import NO_BETTER, no_better_than_constant
from mtlkeras._app.checks.overfitting import OVERFIT, overfit_task
from mtlkeras._app.checks.search_edge import EDGE, hyperparameter_at_edge
from mtlkeras._app.checks.shared_examples import SHARED, shared_examples
from mtlkeras._app.checks.underfitting import UNDERFIT, underfit_task
from mtlkeras._errors import unknown_name

_ALL: tuple[tuple[Check, Callable[[RunFacts], Iterator[Finding]]], ...] = (
    (OVERFIT, overfit_task),
    (UNDERFIT, underfit_task),
    (DROWNED, drowned_task),
    (CONFLICT, conflicting_tasks),
    (IMBALANCE, imbalanced_classes),
    (UNSEEN, unseen_class),
    (UNLABELLED, missing_labels),
    (NO_BETTER, no_better_than_constant),
    (EDGE, hyperparameter_at_edge),
    (SHARED, shared_examples),
    (DIVERGED, diverged_task),
)

CHECKS: dict[str, Check] = {check.id: check for check, _ in _ALL}
"""The checks by id."""


def run_checks(facts: RunFacts) -> list[Finding]:
    """Returns what all checks find in a run, warnings before notes, then by id and task."""
    found = [finding for _, find in _ALL for finding in find(facts)]
    return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.check, f.task or ""))


def known_checks(ids: Iterable[str], where: str = "--fail-on") -> list[str]:
    """Returns ids of checks, each of which is one.

    Args:
        ids: The ids.
        where: The argument in which they stand, for the error.

    Raises:
        ValueError: If one is unknown; with what it may have been meant for.
    """
    found = list(ids)
    for one in found:
        if one not in CHECKS:
            raise unknown_name("check", one, CHECKS, where)
    return found
