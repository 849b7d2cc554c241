"""Labels as numbers, and the classes they count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._errors import near_match
from mtlkeras._missing import MISSING, UNSEEN
from mtlkeras.data._columns import word
from mtlkeras.data._sequences import Sequences

RowName = Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The labels of one task as an array with one entry a row.

    Args:
        values: `int32` for classes, multi-labels, tags and masks, `float32` for numbers; or the files of
            masks (`mtlkeras.data._masks.MaskFiles`).
        kind: One of `mtlkeras.data.labels.LABEL_KINDS`.
        classes: Names of the classes, tags or yes/no labels; empty for the other kinds.
    """

    values: Any
    kind: str
    classes: tuple[str, ...] = ()

    @property
    def entries(self) -> np.ndarray:
        """The labels as one array; the tags of all tokens one after the other."""
        if hasattr(self.values, "there"):  # Masks in files, of which is known whether they are there.
            return self.values.there
        return self.values.flat if isinstance(self.values, Sequences) else self.values

    @property
    def is_present(self) -> np.ndarray:
        """Boolean array of the shape of `entries`: which labels are there, those of no class too."""
        if self.entries.dtype.kind == "f":
            return np.asarray(~np.isnan(self.entries))
        return np.asarray(self.entries != MISSING)

    @property
    def labelled(self) -> np.ndarray:
        """Boolean array with one entry a row: whether any of its labels is there."""
        if not isinstance(self.values, Sequences):
            return np.asarray(self.is_present.reshape(len(self.is_present), -1).any(1))
        rows = np.repeat(np.arange(len(self.values)), self.values.lengths)
        return np.asarray(np.bincount(rows[self.is_present], minlength=len(self.values)) > 0)

    @property
    def unseen(self) -> int:
        """Number of labels that are none of the classes."""
        return 0 if self.kind not in ("class", "tags") else int((self.entries == UNSEEN).sum())

    def take(self, rows: np.ndarray) -> Encoded:
        """Returns the labels of some rows."""
        return dataclasses.replace(self, values=self.values[rows])


def meanings_of(classes: Any) -> dict[str, int]:
    """Maps each word that a class can have in the source to the class id."""
    if isinstance(classes, Mapping):
        pairs = [(name, i) for i, names in enumerate(classes.values()) for name in _listed(names)]
    else:
        pairs = [(name, i) for i, name in enumerate(classes)]
    return {word(name): i for name, i in pairs}


def _listed(names: Any) -> Sequence[Any]:
    return names if isinstance(names, (list, tuple)) else [names]


def not_a_class(task: str, value: str, meanings: Mapping[str, int], row: str) -> ValueError:
    """The error for a label that is none of the classes."""
    listed = ", ".join(map(repr, list(meanings)[:30])) + (", ..." if len(meanings) > 30 else "")
    return ValueError(
        f"Task '{task}': the label '{value}' in {row} is not one of its classes."
        f"{near_match(value, meanings)} Known classes: {listed}. A value that stands for no label "
        "belongs in Label(..., missing=[...])."
    )


def unseen_id(unseen: str) -> int | None:
    """The id of a label that is none of the classes, by `Label(unseen=...)`; `None` is an error."""
    return {"error": None, "missing": MISSING, "wrong": UNSEEN}[unseen]
