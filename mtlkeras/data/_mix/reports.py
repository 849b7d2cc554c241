"""What `describe` tells of data sets that were mixed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras.data.report import LoadReport, TaskReport, find_report, with_report


def with_merged_report(mixed: Any, sources: Mapping[str, Any]) -> Any:
    """Attaches to a mixed data set the reports of its sources as one, if all have one; returns it."""
    reports = {name: find_report(source) for name, source in sources.items()}
    known = {name: report for name, report in reports.items() if report is not None}
    return with_report(mixed, merged_report(known)) if len(known) == len(reports) else mixed


def merged_report(reports: Mapping[str, LoadReport]) -> LoadReport:
    """Returns the report of several data sets side by side; a task that one lacks is missing there.

    Raises:
        ValueError: If two of them know a task by other classes, so that an id stands for two things.
    """
    found = list(reports.values())
    splits = {report.split for report in found}
    tasks = dict.fromkeys(task for report in found for task in report.tasks)
    for task in tasks:
        _check_classes(task, {name: r.tasks[task].classes for name, r in reports.items() if task in r.tasks})
    return LoadReport(
        source=" + ".join(f"{name} ({report.source})" for name, report in reports.items()),
        split=splits.pop() if len(splits) == 1 else None,
        examples=_sum([report.examples for report in found]),
        inputs={name: form for report in reversed(found) for name, form in report.inputs.items()},
        tasks={task: _merged_task([report.tasks.get(task) for report in found], found) for task in tasks},
        skipped=tuple(row for report in found for row in report.skipped),
        notes=tuple(note for report in found for note in report.notes),
        warnings=tuple(doubt for report in found for doubt in report.warnings),
    )


def _check_classes(task: str, classes: Mapping[str, tuple[str, ...]]) -> None:
    (first, known), *others = classes.items()
    for name, own in others:
        if own != known:
            place = next(
                (i for i, pair in enumerate(zip(known, own, strict=False)) if len(set(pair)) > 1), None
            )
            told = f"{len(known)} and {len(own)} classes"
            if place is not None:
                told = f"class {place} is '{known[place]}' and '{own[place]}'"
            raise ValueError(
                f"mix: sources '{first}' and '{name}' have other classes of task '{task}': {told}. Load both "
                f"with the same Label(..., classes=[...])."
            )


def _merged_task(parts: Sequence[TaskReport | None], reports: Sequence[LoadReport]) -> TaskReport:
    here = [part for part in parts if part is not None]
    absent = [report.examples for part, report in zip(parts, reports, strict=True) if part is None]
    missing = _sum([*(part.missing for part in here), *absent])
    if len(here) == 1:
        return dataclasses.replace(here[0], missing=missing)
    return TaskReport(
        here[0].kind,
        here[0].classes,
        _sum([part.labelled for part in here]),
        missing,
        counts=_counts([part.counts for part in here]),
        missing_entries=_counts([part.missing_entries for part in here]),
        guessed=here[0].guessed,
        unseen=sum(part.unseen for part in here),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _counts(parts: Sequence[Mapping[str, int] | None]) -> dict[str, int] | None:
    known = [part for part in parts if part is not None]
    total: Counter[str] = Counter()
    for part in known:
        total.update(part)
    return dict(total) if len(known) == len(parts) else None
