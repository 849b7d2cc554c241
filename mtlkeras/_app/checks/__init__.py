"""Coded checks of a run: what may be wrong, the evidence for it, and what to do."""

from mtlkeras._app.checks.facts import Finding, RunFacts, SearchFacts, TaskFacts

__all__ = ["Finding", "RunFacts", "SearchFacts", "TaskFacts", "run_checks"]


def run_checks(facts: RunFacts) -> list[Finding]:
    """Returns what the checks found."""
    return []
