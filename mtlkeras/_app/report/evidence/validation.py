"""What can be told in a moment of a run that trains: its logs, and answers on the validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.evidence.facts import facts_of
from mtlkeras._app.report.evidence.predictions import looked_at, predictions
from mtlkeras._app.report.evidence.run import RunEvidence, TaskEvidence
from mtlkeras._app.report.evidence.samples import Sample
from mtlkeras._app.report.evidence.task import answered, directions


def evidence_so_far(
    model: Any,
    history: Mapping[str, Sequence[float]],
    best_epoch: int,
    sample: Sample | None,
    attempt: Attempts,
) -> RunEvidence:
    """Looks at a model that trains.

    Args:
        model: The model.
        history: Values per epoch so far.
        best_epoch: Number of the best epoch so far, from 1; 0 for none.
        sample: Examples of the validation split; `None` to look at the logs only.
        attempt: Makes the parts.
    """
    found = attempt("predictions", predictions, model, sample) if sample is not None else None
    outputs = None if found is None else found[0]
    tasks = {
        task: TaskEvidence(
            type(model.heads[task]).__name__, *way, **answered(model, task, sample, outputs, attempt)
        )
        for task, way in directions(model).items()
    }
    facts = facts_of(model, tasks, history, {}, None, None, None)
    return RunEvidence(
        "", {"best_epoch": best_epoch}, history, {}, tasks, facts, looked_at=looked_at(sample, "validation")
    )
