"""What a report tells of a run, gathered from its model, its data and what it logged."""

from mtlkeras._app.report.evidence.gathered import gather
from mtlkeras._app.report.evidence.run import Attention, Numbers, RunEvidence, Size, TaskEvidence

__all__ = ["Attention", "Numbers", "RunEvidence", "Size", "TaskEvidence", "gather"]
