"""Loading from sources that give any row at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras.data._columns import Column
from mtlkeras.data._contradictions import contradictions
from mtlkeras.data._encoded import Encoded
from mtlkeras.data._images import Pictures, decode_all
from mtlkeras.data._inputs import (
    Inputs,
    default_inputs,
    empty_cell_error,
    empty_cells,
    filled,
    fit_arrays,
    input_arrays,
    input_specs,
    plain_columns,
)
from mtlkeras.data._label_encoding import encode
from mtlkeras.data._masks import encode_masks, settled
from mtlkeras.data._options import Options
from mtlkeras.data._rows import Rows
from mtlkeras.data._sequences import Sequences
from mtlkeras.data._splits import choose_rows, split_names
from mtlkeras.data._store import kept
from mtlkeras.data._tags import check_lengths
from mtlkeras.data.doubts import guess_of, input_doubts, label_doubts, split_doubts
from mtlkeras.data.finite import check_finite_arrays
from mtlkeras.data.labels import Label
from mtlkeras.data.pipeline import batches_of_rows
from mtlkeras.data.report import LoadReport, task_report, with_report


def load_rows(
    rows: Rows,
    labels: Mapping[str, Label],
    inputs: Any,
    options: Options,
    chosen: np.ndarray | None = None,
    given: Mapping[str, Label] | None = None,
) -> Any:
    """Makes the data set of a table, arrays or pictures; see `mtlkeras.data.load`.

    Args:
        rows: The source.
        labels: The label specs by task.
        inputs: The argument of `load`, or `Inputs`.
        options: The other arguments.
        chosen: Positions of the rows to take, if the split was chosen already.
        given: The label specs as the caller gave them, if kinds were found out already.
    """
    # All rows are encoded, whatever the split, so that class ids do not depend on it.
    labels = {task: _with_kind(rows, label) for task, label in labels.items()}
    columns = {task: _columns(rows, task, label) for task, label in labels.items()}
    encoded = {task: _encoded(rows, task, label, columns[task]) for task, label in labels.items()}
    specs = inputs if isinstance(inputs, Inputs) else _input_specs(rows, labels, inputs, options)
    if chosen is None:
        chosen = choose_rows(
            rows, options.split, options.split_column, options.fractions, options.group_column, options.seed
        )
    if not len(chosen):
        raise ValueError(f"There are no examples in {rows.name}.")
    splits = split_names(rows, options.split_column, options.fractions, options.group_column, options.seed)
    given = given or labels
    doubts = [
        doubt
        for task, label in given.items()
        for doubt in (
            *label_doubts(task, label, columns[task], encoded[task], rows.name),
            *split_doubts(task, encoded[task], splits, chosen, options.split),
        )
    ]
    for name in () if rows.as_is else plain_columns(rows, specs, options):
        doubts += input_doubts(name, rows.column(name, "inputs=").typed(), rows.name)
    taken = filled(rows.take(chosen), specs, options)
    part = _Part(taken, {task: labels.take(chosen) for task, labels in encoded.items()}, {})
    part, empty = _without_empty_cells(part, specs, options)
    arrays, notes = input_arrays(part.rows, specs, options)
    part = dataclasses.replace(part, arrays=fit_arrays(arrays, options))
    check_lengths(part.arrays, part.labels, part.rows.row_name)
    part = _bounded(part, options, notes)
    part, unreadable = _with_pictures(part, options)
    part = _with_masks(part, options)
    if options.check_finite:
        held = {name: value for name, value in part.arrays.items() if isinstance(value, np.ndarray)}
        check_finite_arrays(held, part.rows.row_name)
    values = {task: labels.values for task, labels in part.labels.items()}
    report = LoadReport(
        source=rows.name,
        split=options.split,
        examples=len(part.rows),
        inputs={name: _shape(value) for name, value in part.arrays.items()},
        tasks={
            task: task_report(found, guess_of(given[task], columns[task]))
            for task, found in part.labels.items()
        },
        skipped=(*rows.skipped, *empty, *unreadable),
        notes=(*rows.notes, *notes, *contradictions(part.arrays, part.labels, part.rows.row_name)),
        warnings=tuple(doubts),
    )
    return with_report(batches_of_rows(part.arrays, values, specs, options), report)


@dataclasses.dataclass(frozen=True)
class _Part:
    """The rows of one split with their labels and inputs."""

    rows: Rows
    labels: Mapping[str, Encoded]
    arrays: Mapping[str, Any]

    def take(self, rows: np.ndarray) -> _Part:
        return _Part(
            self.rows.take(rows),
            {task: labels.take(rows) for task, labels in self.labels.items()},
            {name: v.take(rows) if isinstance(v, Pictures) else v[rows] for name, v in self.arrays.items()},
        )


def _bounded(part: _Part, options: Options, notes: list[str]) -> _Part:
    """Cuts sentences to the greatest length, if that was asked for.

    Raises:
        ValueError: If one is longer, and it was not.
    """
    length = options.max_length
    lengths = [value.lengths for value in part.arrays.values() if isinstance(value, Sequences)]
    if length is None or not lengths:
        return part
    longest = np.max(lengths, axis=0)
    long = np.flatnonzero(longest > length)
    if not len(long):
        return part
    if not options.truncate:
        raise ValueError(
            f"{part.rows.row_name(int(long[0]))} has {longest[long[0]]} tokens, and max_length= is {length} "
            f"(number of such examples: {len(long)}). Pass truncate=True to cut them."
        )
    notes.append(f"{len(long)} examples of more than {length} tokens were cut to that length")
    arrays = {n: v.cut(length) if isinstance(v, Sequences) else v for n, v in part.arrays.items()}
    labels = {
        task: dataclasses.replace(e, values=e.values.cut(length)) if isinstance(e.values, Sequences) else e
        for task, e in part.labels.items()
    }
    return dataclasses.replace(part, arrays=arrays, labels=labels)


def _with_kind(rows: Rows, label: Label) -> Label:
    """Returns the label of a column with one entry a token as one of tags."""
    is_tags = label.kind is None and len(label.columns) == 1 and label.columns[0] in rows.sequences
    return label.replace(kind="tags") if is_tags else label


def _encoded(rows: Rows, task: str, label: Label, columns: list[Column]) -> Encoded:
    if label.kind == "mask":
        return encode_masks(rows, task, label, columns)
    return encode(task, label, columns, rows.row_name)


def _with_masks(part: _Part, options: Options) -> _Part:
    """Brings masks to the size of the pictures."""
    labels = {
        task: settled(task, found, part.arrays, options) if found.kind == "mask" else found
        for task, found in part.labels.items()
    }
    return dataclasses.replace(part, labels=labels)


def _columns(rows: Rows, task: str, label: Label) -> list[Column]:
    return [rows.column(name, f"task '{task}'") for name in label.columns]


def _without_empty_cells(part: _Part, specs: Inputs, options: Options) -> tuple[_Part, list[str]]:
    """Leaves out rows with empty cells among inputs of numbers, if errors are to be skipped.

    Raises:
        ValueError: If there are such rows, and they are not to be skipped or filled.
    """
    empty = empty_cells(part.rows, specs, options)
    bad = np.flatnonzero(np.any(list(empty.values()), 0)) if empty else np.array([], int)
    if not len(bad):
        return part, []
    if options.on_error != "skip":
        raise empty_cell_error(part.rows, empty)
    good = np.setdiff1d(np.arange(len(part.rows)), bad)
    if not len(good):
        raise ValueError(f"Every row of {part.rows.name} has an empty cell among inputs= of numbers.")
    return part.take(good), [f"{part.rows.row_name(row)} (an input is empty)" for row in bad.tolist()]


def _input_specs(rows: Rows, labels: Mapping[str, Label], inputs: Any, options: Options) -> Inputs:
    label_columns = [name for label in labels.values() for name in label.columns]
    defaults = default_inputs(rows, label_columns, options.split_column)
    return input_specs(inputs, defaults, rows.name, list(rows.columns))


def _with_pictures(part: _Part, options: Options) -> tuple[_Part, list[str]]:
    """Settles the size of pictures, and decodes them where they are kept or checked."""
    names = [name for name, value in part.arrays.items() if isinstance(value, Pictures)]
    if not names:
        return part, []
    pictures = part.arrays[names[0]]
    pictures = dataclasses.replace(pictures, size=options.image_size, channels=options.channels).settled()
    part = dataclasses.replace(part, arrays={**part.arrays, **dict.fromkeys(names, pictures)})
    if not options.cache and options.on_error != "skip":
        return part, []
    decoded, bad = _decoded(pictures, options)
    if decoded is not None:
        part = dataclasses.replace(part, arrays={**part.arrays, **dict.fromkeys(names, decoded)})
    good = np.setdiff1d(np.arange(len(part.rows)), bad)
    if not len(good):
        raise ValueError(f"No picture of {part.rows.name} can be decoded.")
    return part.take(good) if len(bad) else part, [pictures.names[row] for row in bad]


def _decoded(pictures: Pictures, options: Options) -> tuple[np.ndarray | None, np.ndarray]:
    """Returns all pictures if they are to be kept, and the positions of those that are bad."""
    skip, resized = options.on_error == "skip", options.image_size is not None

    def make() -> dict[str, np.ndarray]:
        array, bad = decode_all(
            pictures, resized, bool(options.cache), skip, options.num_parallel, options.verbose
        )
        found = {"bad": np.array(sorted(bad), np.int64)}
        return found if array is None else {**found, "pictures": array}

    if not options.cache:
        return None, make()["bad"]
    identity = (
        "pictures 2",
        pictures.state(),
        pictures.names,
        pictures.size,
        pictures.channels,
        resized,
        skip,
    )
    arrays = kept(options.cache, identity, make)
    return arrays["pictures"], arrays["bad"]


def _shape(value: Any) -> tuple[tuple[int | None, ...], str]:
    if isinstance(value, Pictures):
        return value.shape, "uint8"
    return tuple(value.shape[1:]), "string" if value.dtype == object else value.dtype.name
