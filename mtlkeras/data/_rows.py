"""A source that gives any row at any time: a table, arrays, or pictures with a table of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras.data._columns import Column
from mtlkeras.data._pictures import Pictures

PICTURE = "image"
"""Name of the input that holds the picture of a source of pictures."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """The columns of a source, and its pictures where it has any.

    Args:
        name: Name of the source, for messages.
        columns: The columns by name.
        numbers: Number of each row in the source, counted from 1; with rows left out, these
            are not 1, 2, 3, ...
        pictures: The picture of each row, or `None`.
        default_inputs: Names of the inputs when the caller names none.
        as_is: Whether inputs keep their type; in tables all numbers become `float32`.
        skipped: Names of the rows that were left out.
        notes: Further sentences for the report.
        sequences: Columns that hold one entry for each token of a sentence.
    """

    name: str
    columns: Mapping[str, Column]
    numbers: np.ndarray
    pictures: Pictures | None = None
    default_inputs: Sequence[str] = ()
    as_is: bool = False
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()
    sequences: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def row_name(self, row: int) -> str:
        """Names a row for an error message, from its position."""
        where = f"row {self.numbers[row]} of {self.name}"
        return where if self.pictures is None else f"{where} (image '{self.pictures.names[row]}')"

    def keys(self) -> list[str]:
        """What identifies each row, for splits that do not depend on the order."""
        return list(map(str, self.numbers)) if self.pictures is None else list(self.pictures.names)

    def column(self, name: str, where: str) -> Column:
        """Returns a column.

        Raises:
            ValueError: If there is none of that name.
        """
        if name not in self.columns:
            raise unknown_name("column", name, self.columns, f"{where} of {self.name}")
        return self.columns[name]

    def take(self, rows: np.ndarray) -> Rows:
        """Returns the source with only some rows, in the order given."""
        return dataclasses.replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            numbers=self.numbers[rows],
            pictures=self.pictures and self.pictures.take(rows),
        )
