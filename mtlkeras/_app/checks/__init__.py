"""Coded checks of a run: what may be wrong, the evidence for it, and what to do."""

from mtlkeras._app.checks.check import NOTE, SEVERITIES, WARNING, Check
from mtlkeras._app.checks.every_check import CHECKS, known_checks, run_checks
from mtlkeras._app.checks.facts import Finding, RunFacts, SearchFacts, TaskFacts

__all__ = [
    "CHECKS",
    "NOTE",
    "SEVERITIES",
    "WARNING",
    "Check",
    "Finding",
    "RunFacts",
    "SearchFacts",
    "TaskFacts",
    "known_checks",
    "run_checks",
]
