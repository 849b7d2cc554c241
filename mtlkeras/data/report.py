"""What `load` found: examples, labels and missing labels by task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._keras_private import parents_of
from mtlkeras._types import Dataset
from mtlkeras.data._encoded import Encoded

_REPORT = "_mtlkeras_report"


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """The labels of one task in one split.

    Args:
        kind: `"class"`, `"number"`, `"multi"`, `"tags"`, `"mask"` or `"array"`.
        classes: Names of the classes or tags in the order of their ids, or of the yes/no labels;
            empty for the other kinds.
        labelled: Examples with a label; for multi-labels and tags with at least one known entry.
            `None` if the source was too large to be counted.
        missing: Examples without a label.
        counts: For classes, examples by class; for tags, tokens by tag; for multi-labels, the
            number of "yes" by label.
        missing_entries: For multi-labels, the number of unknown entries by label.
        mean: For numbers, the mean of the labels, a tuple for several columns.
        scale: For numbers, their standard deviation (population).
        guessed: What the kind was guessed from; `None` if the `Label` or the source states it.
        unseen: Labels that are none of the classes; of `labelled`.
    """

    kind: str
    classes: tuple[str, ...] = ()
    labelled: int | None = None
    missing: int | None = None
    counts: Mapping[str, int] | None = None
    missing_entries: Mapping[str, int] | None = None
    mean: Any = None
    scale: Any = None
    guessed: str | None = None
    unseen: int = 0


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load` found; printed it is a small table.

    Args:
        source: Name of the source.
        split: The split that was asked for, or `None` for all of it.
        examples: Number of examples in the data set, or `None` if the source does not tell.
        inputs: Shape (without batch) and type of each input by name.
        tasks: The labels by task.
        skipped: Rows or files that were left out because they could not be read.
        notes: Other things worth knowing, as sentences.
        warnings: What may be meant otherwise than it was read, as sentences.
    """

    source: str
    split: str | None
    examples: int | None
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]]
    tasks: Mapping[str, TaskReport]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        split = "" if self.split is None else f", split '{self.split}'"
        lines = [f"{self.source}{split}: {_number(self.examples)} examples"]
        lines += [f"input {name}: {shape} {dtype}" for name, (shape, dtype) in self.inputs.items()]
        lines += _table(self.tasks)
        for name, task in self.tasks.items():
            if task.guessed is not None:
                lines.append(f"{name}: {task.kind}, guessed from {task.guessed}")
            if task.counts:
                lines.append(f"{name}: {_counts(task)}")
        if self.skipped:
            more = ", ..." if len(self.skipped) > 5 else ""
            lines.append(f"skipped {len(self.skipped)}: {', '.join(self.skipped[:5])}{more}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def task_report(encoded: Encoded, guessed: str | None = None) -> TaskReport:
    """Counts the labels of one task."""
    labelled = int(encoded.labelled.sum())
    missing = len(encoded.labelled) - labelled
    return TaskReport(
        encoded.kind,
        encoded.classes,
        labelled,
        missing,
        **_details(encoded, encoded.is_present),
        guessed=guessed,
        unseen=encoded.unseen,
    )


def _details(encoded: Encoded, is_present: np.ndarray) -> dict[str, Any]:
    if encoded.kind in ("class", "tags"):
        counts = np.bincount(encoded.entries[encoded.entries >= 0], minlength=len(encoded.classes))
        return {"counts": dict(zip(encoded.classes, counts.tolist(), strict=True))}
    if encoded.kind == "multi":
        yes, gone = (encoded.entries == 1).sum(0).tolist(), (~is_present).sum(0).tolist()
        return {
            "counts": dict(zip(encoded.classes, yes, strict=True)),
            "missing_entries": dict(zip(encoded.classes, gone, strict=True)),
        }
    if encoded.kind == "number" and is_present.any(0).all():
        values = encoded.entries.astype(np.float64)
        return {"mean": _plain(np.nanmean(values, 0)), "scale": _plain(np.nanstd(values, 0))}
    return {}


def _counts(task: TaskReport, most: int = 12) -> str:
    """The counts of the classes in their order; of many, those of the largest."""
    counts = dict(task.counts or {})
    names = list(counts)
    if len(names) > most:
        names = sorted(names, key=lambda name: -counts[name])[:most]
    parts = [f"{name} {counts[name]:,}" for name in names]
    if len(counts) > most:
        parts.append(f"and {len(counts) - most:,} more")
    return ", ".join([*parts, *([f"none of them {task.unseen:,}"] if task.unseen else [])])


def _plain(value: np.ndarray) -> Any:
    return tuple(value.tolist()) if value.ndim else float(value)


def _table(tasks: Mapping[str, TaskReport]) -> list[str]:
    cells = [("task", "kind", "classes", "labelled", "missing")]
    for name, task in tasks.items():
        classes = str(len(task.classes)) if task.classes else ""
        cells.append((name, task.kind, classes, _number(task.labelled), _number(task.missing)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
    ]


def _number(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"


def attach(dataset: Dataset, name: str, value: object) -> Dataset:
    """Puts something on a data set that `find_all` gives back, also after `map` and the like."""
    setattr(dataset, name, value)
    return dataset


def find_all(dataset: Dataset, name: str) -> list[Any]:
    """Returns all that was attached by a name to a data set or to those it was made of."""
    found = [getattr(dataset, name)] if hasattr(dataset, name) else []
    # A data set made by map, batch and the like knows the ones it came from.
    return found + [value for parent in parents_of(dataset) for value in find_all(parent, name)]


def find(dataset: Dataset, name: str) -> Any:
    """Returns what was attached to a data set or to the nearest one it was made of, or `None`."""
    return next(iter(find_all(dataset, name)), None)


def with_report(dataset: Dataset, report: LoadReport) -> Dataset:
    """Attaches a report for `describe`."""
    return attach(dataset, _REPORT, report)


def find_report(dataset: Dataset) -> LoadReport | None:
    """Returns the report of a data set that `load` made, also after `map` and the like; `None` of others."""
    return find(dataset, _REPORT)


def describe(dataset: Dataset) -> LoadReport:
    """Returns what `load` found in a data set: examples, classes, labels and missing labels.

    Args:
        dataset: A data set made by `mtlkeras.data.load`, or one made from it by `map`,
            `take` and the like, or by `mix` of such. The counts are those of the loaded ones.

    Raises:
        ValueError: If the data set was not made by `load`.

    Example:

    ```python
    train = mtlkeras.data.load({"x": np.ones((3, 2)), "pet": ["cat", "dog", ""]}, {"pet": "pet"})
    mtlkeras.data.describe(train).tasks["pet"].classes  # ('cat', 'dog')
    mtlkeras.data.describe(train).tasks["pet"].missing  # 1
    ```
    """
    report = find_report(dataset)
    if report is None:
        raise ValueError("This data set was not made by mtlkeras.data.load, so there is no report on it.")
    return report
