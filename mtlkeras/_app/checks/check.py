"""What a check is: its id, what it looks for, and how it says what it found."""

from __future__ import annotations

from dataclasses import dataclass

from mtlkeras._app.checks.facts import Finding

WARNING, NOTE = "warning", "note"
SEVERITIES = (WARNING, NOTE)
"""How much a finding matters, the most first."""


@dataclass(frozen=True)
class Check:
    """A check as the table in the docs and `--fail-on` know it.

    Args:
        id: Such as `"MTL003"`; it stays the same for good.
        title: What is wrong if it finds something, in some words.
        looks_for: When it does, with its thresholds, as a sentence.
    """

    id: str
    title: str
    looks_for: str

    def finding(self, task: str | None, evidence: str, advice: str, severity: str = WARNING) -> Finding:
        """Returns what the check found, of a task or of none."""
        return Finding(self.id, self.title, task, evidence, advice, severity)
