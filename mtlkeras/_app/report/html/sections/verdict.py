"""What came out, in sentences."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras._app.report.evidence import RunEvidence, TaskEvidence
from mtlkeras._app.report.html.markup import text, with_code
from mtlkeras._app.report.html.parts import Markup, Section
from mtlkeras._missing import MISSING


def verdict(run: RunEvidence) -> Section:
    """Tells how training went, how good each task is, and what the checks found."""
    sentences = [*_training(run), *(s for task in run.tasks for s in _of_task(run, task)), *_findings(run)]
    items = "".join(f"<li>{with_code(sentence)}</li>" for sentence in sentences)
    return Section("Verdict", [Markup(f'<ul class="verdict">{items}</ul>')])


def _training(run: RunEvidence) -> list[str]:
    config = run.config
    if run.trials:
        done = sum(trial.status == "COMPLETED" for trial in run.trials)
        return [
            f"Of {len(run.trials)} trials {done} were completed; the best by `{config['monitor']}` is trial "
            f"{config['best_trial']}, whose model this is."
        ]
    if not run.history:
        return []
    last, best = config.get("epochs_done", 0), config.get("best_epoch")
    told = f"{last} of {config['epochs']} epochs took {duration(config.get('seconds', 0.0))}"
    if not run.metrics and config["status"] == "finished":
        return [f"{told[0].upper()}{told[1:]}; the results, `metrics.json`, are no longer there."]
    if config["status"] not in ("finished", "running") or not run.metrics:
        return [f"The run is {config['status']}, not finished: {told}, and there are no results yet."]
    behind = last - best
    more = f"; the {behind} behind it brought nothing better" if behind > 1 else ""
    return [f"{told[0].upper()}{told[1:]}; the best by `{config['monitor']}` is epoch {best}{more}."]


def duration(seconds: float) -> str:
    """Returns a time in words."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _of_task(run: RunEvidence, task: str) -> list[str]:
    one = run.tasks[task]
    value = run.metrics.get("test", {}).get(f"{task}_{one.metric}")
    if value is None:
        return []
    if not math.isfinite(value):
        return [f"{task}: {one.metric} is no number on the test split, but {value}."]
    better = "higher" if one.higher_is_better else "lower"
    said = f"{task}: {one.metric} {text(float(value))} on the test split ({better} is better)"
    return [f"{said}{_beside_guessing(run, task, one)}."]


def _beside_guessing(run: RunEvidence, task: str, one: TaskEvidence) -> str:
    """Returns what the answer that looks at no input would reach, where that is told by the labels."""
    found = without_looking(one)
    if found is None:
        return ""
    what, value = found
    if one.metric not in ("accuracy", "mae"):
        return f"; {what} has {value:.1%} of the labels" if one.metric != "mae" and value <= 1 else ""
    return f"; always answering {what} gives {text(value)}"


def without_looking(one: TaskEvidence) -> tuple[str, float] | None:
    """Returns the best answer to a task that looks at no input, and its accuracy or mean absolute error.

    `None` for tasks of several labels, and where there are no labels.
    """
    labels = one.labels
    if labels is None or labels.ndim > 1 or not labels.size:
        return None
    if labels.dtype.kind == "f":
        known = labels[np.isfinite(labels)]
        if not len(known):
            return None
        middle = float(np.median(known))
        return f"the median, {text(middle)},", float(np.abs(known - middle).mean())
    known = labels[labels != MISSING]
    if not len(known) or not one.confusions:
        return None
    counts = np.bincount(known)
    names = next(iter(one.confusions.values())).names
    return f"the most frequent class, {names[int(counts.argmax())]},", float(counts.max() / counts.sum())


def _findings(run: RunEvidence) -> list[str]:
    found: Sequence[Any] = run.findings
    if not found:
        return []
    warnings = sum(one.severity == "warning" for one in found)
    notes = len(found) - warnings
    counts = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((warnings, "warning"), (notes, "note")) if n]
    return [f"The checks have {' and '.join(counts)}, below."]


def findings(run: RunEvidence) -> Section | None:
    """Shows what the checks found, each with its evidence and what to do."""
    if not run.findings:
        return None
    cards = []
    for one in run.findings:
        kind = "bad" if one.severity == "warning" else "quiet"
        where = f" — {html.escape(one.task)}" if one.task is not None else ""
        cards.append(
            f'<div class="card"><p><strong class="{kind}">{html.escape(one.check)} '
            f"{html.escape(one.severity)}</strong>: <strong>{html.escape(one.title)}</strong>{where}</p>"
            f"<p>{with_code(one.evidence)}</p><p>{with_code(one.advice)}</p></div>"
        )
    return Section("Checks", [Markup("".join(cards))])
