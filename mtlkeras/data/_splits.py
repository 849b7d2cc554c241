"""Which rows of a source belong to a split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from mtlkeras._errors import near_match, unknown_name
from mtlkeras.data._columns import distinct, words
from mtlkeras.data._rows import Rows

_PART = re.compile(r"^(?P<name>[^\[\]]+)(\[(?P<start>-?\d*%?):(?P<stop>-?\d*%?)\])?$")


def choose_rows(
    rows: Rows,
    split: str | None,
    split_column: str = "split",
    fractions: Mapping[str, float] | None = None,
    group_column: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Returns the positions of the rows of a split, in the order of the source.

    Args:
        rows: The source.
        split: Name of the split, with a slice if wanted (`"train[:90%]"`), or several joined
            by `+`. `None` takes all rows.
        split_column: Column that names the split of each row.
        fractions: Share of each split by name, instead of a column.
        group_column: With `fractions`, rows equal in this column stay in one split.
        seed: With `fractions`, another seed gives another division.

    Raises:
        ValueError: If there is no such split, or it is empty.
    """
    if split is None:
        if fractions is not None or group_column is not None:
            raise ValueError("fractions= and group_column= need split=, the name of the split to load.")
        return np.arange(len(rows))
    names = split_names(rows, split_column, fractions, group_column, seed)
    if names is None:
        raise ValueError(
            f"split='{split}' needs a column that names the split of each row; {rows.name} has no column "
            f"'{split_column}'.{near_match(split_column, rows.columns)} Name it in split_column=, or give "
            "fractions={'train': 0.8, 'test': 0.2}."
        )
    splits = list(fractions) if fractions is not None else distinct(rows.columns[split_column])
    chosen = np.concatenate([_part(part.strip(), names, splits, rows.name) for part in split.split("+")])
    if not len(chosen):
        raise ValueError(f"split='{split}' of {rows.name} is empty.")
    return chosen


def split_names(
    rows: Rows,
    split_column: str = "split",
    fractions: Mapping[str, float] | None = None,
    group_column: str | None = None,
    seed: int = 0,
) -> np.ndarray | None:
    """Returns the name of the split of each row, or `None` if the source has no splits."""
    if fractions is not None:
        return _by_fractions(rows, fractions, group_column, seed)
    return words(rows.columns[split_column]) if split_column in rows.columns else None


def base_names(split: str) -> list[str]:
    """The names in a split string without their slices: `["train"]` for `"train[:90%]"`."""
    return [part.split("[")[0].strip() for part in split.split("+")]


def _part(part: str, names: np.ndarray, splits: Sequence[str], source: str) -> np.ndarray:
    match = _PART.match(part)
    if match is None:
        raise ValueError(
            f"split='{part}' cannot be read; write it as 'train', 'train[:90%]' or 'train[100:]'."
        )
    if match["name"] not in splits:
        raise unknown_name("split", match["name"], splits, f"split= of {source}")
    members = np.flatnonzero(names == match["name"])
    return members[_bound(match["start"], len(members)) : _bound(match["stop"], len(members))]


def _bound(text: str | None, length: int) -> int | None:
    if not text:
        return None
    return round(float(text[:-1]) / 100 * length) if text.endswith("%") else int(text)


def _by_fractions(
    rows: Rows, fractions: Mapping[str, float], group_column: str | None, seed: int
) -> np.ndarray:
    """Deals rows, or groups of rows, out to splits in an order drawn from the seed."""
    shares = list(fractions.values())
    if any(share < 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"fractions= must be at least 0 and add up to 1; received {dict(fractions)}.")
    keys = rows.keys() if group_column is None else words(rows.column(group_column, "group_column=")).tolist()
    # The order depends on the keys alone, not on where a row stands in the file.
    order = sorted(set(keys), key=lambda key: hashlib.blake2b(f"{seed}:{key}".encode()).digest())
    ends = np.round(np.cumsum(shares) * len(order)).astype(int)
    owner = np.empty(len(order), object)
    start = 0
    for name, end in zip(fractions, ends, strict=True):
        owner[start:end] = name
        start = end
    split_of = dict(zip(order, owner, strict=True))
    return np.array([split_of[key] for key in keys], object)
