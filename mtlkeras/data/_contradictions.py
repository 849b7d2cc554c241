"""Examples with equal inputs and different labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras.data._encoded import Encoded, RowName


def contradictions(
    arrays: Mapping[str, Any], labels: Mapping[str, Encoded], row_name: RowName, most_bytes: int = 2**26
) -> list[str]:
    """Returns a sentence for each task with equal inputs that are labelled differently.

    Args:
        arrays: The inputs by name: arrays, or what has `names`, such as pictures.
        labels: The labels by task.
        row_name: Names a row from its position.
        most_bytes: Larger inputs are passed over.
    """
    parts = [_row_keys(value) for value in arrays.values()]
    if any(part is None for part in parts) or sum(_size(value) for value in arrays.values()) > most_bytes:
        return []
    rows: dict[Any, list[int]] = defaultdict(list)
    for row, key in enumerate(zip(*parts, strict=True)):  # type: ignore[arg-type]
        rows[key].append(row)
    repeated = [same for same in rows.values() if len(same) > 1]
    found = []
    for task, encoded in labels.items() if repeated else ():
        keys = _row_keys(encoded.values) if encoded.kind in ("class", "multi", "tags") else None
        if keys is None:
            continue
        labelled = encoded.labelled
        groups = [same for same in repeated if len({keys[row] for row in same if labelled[row]}) > 1]
        if groups:
            first = [row for row in groups[0] if labelled[row]]
            other = next(row for row in first if keys[row] != keys[first[0]])
            found.append(
                f"task '{task}': {sum(map(len, groups)):,} examples have the inputs of another and a "
                f"different label, first {row_name(first[0])} and {row_name(other)}"
            )
    return found


def _row_keys(value: Any) -> list[Any] | None:
    if hasattr(value, "names"):
        return list(value.names)
    if hasattr(value, "flat") and hasattr(value, "lengths"):
        ends = np.cumsum(value.lengths)
        flat = value.flat
        as_key = (
            (lambda part: tuple(part.tolist())) if flat.dtype == object else (lambda part: part.tobytes())
        )
        return [as_key(flat[end - n : end]) for end, n in zip(ends, value.lengths, strict=True)]
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype == object:
        return value.tolist() if value.ndim == 1 else None
    return [row.tobytes() for row in value]


def _size(value: Any) -> int:
    array = getattr(value, "flat", value) if not isinstance(value, np.ndarray) else value
    return array.nbytes if isinstance(array, np.ndarray) else 0
