"""Labels in a row: one an example, step or pixel, as the checks of a run read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlkeras._missing import MISSING


def flat_labels(head: Any, labels: np.ndarray) -> np.ndarray:
    """Returns labels in a row.

    Args:
        head: The task's head.
        labels: Its labels, checked.

    Returns:
        Class indices with -1 where there is none, or numbers with NaN; shape `(n,)`, or `(n, labels)` for
        heads of several.
    """
    form = head.label_form
    if form.by_entry:
        rows = labels.reshape(-1, form.count)
        rows = rows[:, 0] if form.count == 1 else rows
        return rows if form.are_numbers else np.where(rows < 0, MISSING, rows)
    if getattr(form, "are_rows", None) is not None and form.are_rows(labels):
        missing = (np.isnan(labels) | (labels < 0)).any(axis=-1)
        return np.where(missing, MISSING, np.nan_to_num(labels).argmax(axis=-1))
    return np.where(labels < 0, MISSING, labels).reshape(-1)


def without_padding(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns columns of steps or pixels without the places where the first one has no label."""
    first = columns[0]
    known = ~np.isnan(first) if first.dtype.kind == "f" else first != MISSING
    known = known if known.ndim == 1 else known.any(axis=1)
    return tuple(column[known] for column in columns)


def thinned(values: np.ndarray, most: int) -> np.ndarray:
    """Returns at most about `most` rows at equal distances, and one of each class that they leave out."""
    if len(values) <= most:
        return values
    kept = values[:: -(-len(values) // most)]
    if values.ndim > 1 or values.dtype.kind == "f":
        return kept
    return np.concatenate([kept, np.setdiff1d(values, kept)])
