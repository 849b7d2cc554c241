"""What `load` guessed about labels, and what looks as if it were meant otherwise."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras.data._columns import Column, word, words
from mtlkeras.data._encoded import Encoded
from mtlkeras.data._label_encoding import find_kind, read_columns
from mtlkeras.data._spelling import MISSING_WORDS, is_float, is_one_letter_off, is_written_number, plain
from mtlkeras.data.labels import Label

FEW = 20
"""Up to so many different values, a column may be of classes whatever they are."""
_GAPS = 0.1
_NUMBERS = 0.9
_LARGE_CLASS = 20
_SHORTEST_TYPO = 4


class DataWarning(UserWarning):
    """A warning of `load`: data that may be meant otherwise than they were read."""


def guess_of(label: Label, columns: Sequence[Column]) -> str | None:
    """Returns what the kind of a label was guessed from, or `None` if it was stated.

    Args:
        label: The label's spec.
        columns: Its columns as they were read.
    """
    if label.kind is not None or label.classes is not None or columns[0].names is not None:
        return None
    columns = read_columns(label, columns)
    kind, column = find_kind(label, columns), columns[0]
    if label.separator or (kind != "array" and len(columns) > 1):
        return None
    if kind == "array":
        return f"an array of shape {column.values.shape[1:]} a row"
    if kind == "multi":
        return "a list a row"
    different, rows = _different(column), len(column)
    count = len(different) if kind == "number" or column.is_words else int((different != MISSING).sum())
    if not count:
        return f"no label at all in {_rows(rows)}"
    if column.is_words:
        what = "words"
    else:
        what = {"b": "true and false", "f": "numbers that are not all whole"}.get(
            column.values.dtype.kind, "whole numbers"
        )
    if kind == "number" and (column.values[~column.missing] % 1 == 0).all():
        what = "numbers of a type for fractions"
    return f"{what} ({count:,} different {'value' if count == 1 else 'values'} in {_rows(rows)})"


def label_doubts(
    task: str, label: Label, columns: Sequence[Column], encoded: Encoded, source: str
) -> list[str]:
    """Returns a sentence for each way in which a guessed class label may be meant otherwise.

    Args:
        task: The task's name.
        label: Its spec.
        columns: Its columns as they were read.
        encoded: Its labels.
        source: Name of the source.
    """
    if label.classes is not None or len(columns) > 1 or encoded.kind not in ("class", "multi", "tags"):
        return []
    column = read_columns(label, columns)[0]
    if column.names is not None or column.missing.all() or column.values.ndim > 1:
        return []
    counts = dict(zip(encoded.classes, _by_class(encoded).tolist(), strict=True))
    name = label.columns[0]
    if encoded.kind == "tags":  # A tag such as "." or "-" is one.
        found = _alike(name, counts)
    elif encoded.kind == "multi":
        found = itertools.chain(_gone(name, counts), _alike(name, counts), _typos(name, counts))
    elif column.is_words:
        found = _about_words(label, counts)
    else:
        found = _about_whole_numbers(label, column)
    return [f"Task '{task}' (column '{name}' of {source}): {sentence}" for sentence in found]


def _different(column: Column) -> np.ndarray:
    present = column.values[~column.missing]
    return np.unique(present.astype(str) if present.dtype == object else present)


def _about_whole_numbers(label: Label, column: Column) -> Iterator[str]:
    if label.kind is not None or column.values.dtype.kind == "b":
        return
    different = _different(column)
    different = different[different >= 0]
    labelled, top = int((~column.missing).sum()), int(different.max(initial=0))
    unused = 1 - len(different) / (top + 1)
    name = label.columns[0]
    if len(different) > FEW and labelled < 2 * len(different):
        yield (
            f"{len(different):,} different whole numbers in {labelled:,} rows are taken for as many classes. "
            f"For a number to predict give Label('{name}', kind='number'), for classes kind='class'."
        )
    elif top >= FEW and unused > _GAPS:
        yield (
            f"whole numbers are taken for {top + 1:,} classes, 0 to {top:,}, of which {len(different):,} "
            f"have an example. For a number to predict give Label('{name}', kind='number'), for classes "
            "kind='class' or classes=[...]."
        )


def _gone(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Classes whose names people write for a value that is not known."""
    gone = _missing_words(counts)
    if gone:
        yield (
            f"{_listed(gone)} {'is a class' if len(gone) == 1 else 'are classes'} "
            f"({_rows(sum(counts[w] for w in gone))}). If no label is meant give "
            f"Label('{name}', missing={gone[:5]}), else classes=[...]."
        )


def _missing_words(counts: Mapping[str, int]) -> list[str]:
    return sorted(w for w in counts if plain(w) in MISSING_WORDS)


def _about_words(label: Label, counts: Mapping[str, int]) -> Iterator[str]:
    name, gone = label.columns[0], _missing_words(counts)
    yield from _gone(name, counts)
    rest = [w for w in counts if w not in gone]
    numbers = [w for w in rest if is_written_number(w)]
    if numbers and len(numbers) >= _NUMBERS * len(rest) and (len(numbers) > 2 or len(gone) or len(rest) == 1):
        others = sorted(set(rest) - set(numbers))
        example = f", but for {_listed(others)}" if others else ""
        odd = next((w for w in numbers if not is_float(w)), None)
        written = f" are written like {odd!r}" if odd else " come as words"
        yield (
            f"the values are numbers that{written}{example}, and are taken for {len(counts):,} classes. For "
            "numbers write them as 1234.5, as pandas.read_csv(..., decimal=',', thousands='.') reads them; "
            "for classes give classes=[...]."
        )
        return
    yield from _alike(name, counts)
    yield from _typos(name, counts)
    labelled = sum(counts.values())
    if label.kind is None and len(rest) > FEW and labelled < 2 * len(rest):
        yield (
            f"{len(rest):,} different words in {labelled:,} rows are taken for as many classes. For classes "
            f"give Label('{name}', kind='class'); a text is an input, in inputs=."
        )


def _alike(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Classes that differ by case, blanks or the way letters are encoded."""
    groups: dict[str, list[str]] = defaultdict(list)
    for spelt in counts:
        groups[plain(spelt)].append(spelt)
    same = [sorted(group, key=lambda w: -counts[w]) for group in groups.values() if len(group) > 1]
    if same:
        spelt = "; ".join(" and ".join(map(repr, group[:3])) for group in same[:3])
        more = f" (and {len(same) - 3} more)" if len(same) > 3 else ""
        yield (
            f"the classes {spelt}{more} differ by case or blanks alone. If the same is meant give "
            f"Label('{name}', classes={{{same[0][0].strip()!r}: {same[0][:3]}, ...}})."
        )


def _typos(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Classes of one example whose name is one letter away from that of a large one."""
    large = [w for w, n in counts.items() if n >= _LARGE_CLASS]
    found = []
    for spelt in (w for w, n in counts.items() if n == 1 and len(w) >= _SHORTEST_TYPO):
        near = next((w for w in large if plain(w) != plain(spelt) and is_one_letter_off(spelt, w)), None)
        if near is not None:
            found.append(f"{spelt!r} has one example and is spelt nearly like {near!r} with {counts[near]:,}")
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        yield (
            f"the class {'; '.join(found[:3])}{more}. If the same is meant mend the table, else give "
            f"Label('{name}', classes=[...])."
        )


def input_doubts(name: str, column: Column, source: str) -> list[str]:
    """Returns a sentence if a column of inputs that holds words looks like numbers."""
    if not column.is_words:
        return []
    counts = Counter(words(column)[~column.missing].tolist())
    numbers = [w for w in counts if is_written_number(w)]
    odd = [w for w in counts if w not in numbers or not is_float(w)]
    if len(numbers) < 3 or len(numbers) < _NUMBERS * sum(plain(w) not in MISSING_WORDS for w in counts):
        return []
    return [
        f"Input column '{name}' of {source} comes as words: its values are numbers, but for "
        f"{_listed(odd) if odd else 'their type'}. For numbers write them as 1234.5 and leave cells without "
        "one empty."
    ]


def split_doubts(
    task: str, encoded: Encoded, splits: np.ndarray | None, chosen: np.ndarray, split: str | None
) -> list[str]:
    """Returns a sentence if training lacks the labels of a task, or all those of a class.

    Args:
        task: The task's name.
        encoded: The labels of all rows.
        splits: Name of the split of each row, or `None`.
        chosen: Positions of the rows that are loaded.
        split: The split that is loaded.
    """
    found = []
    is_training = split is None or split.startswith("train")
    if is_training and not encoded.labelled[chosen].any():
        part = "the source" if split is None else f"split '{split}'"
        found.append(f"Task '{task}' has no label in the {len(chosen):,} examples of {part}.")
    if splits is None or not encoded.classes or encoded.kind == "mask":
        return found
    training = np.array([str(name).startswith("train") for name in splits], bool)
    if not training.any():
        return found
    in_training = _by_class(encoded.take(np.flatnonzero(training)))
    others = {
        name: encoded.take(np.flatnonzero(splits == name)) for name in sorted({*splits[~training]} - {""})
    }
    counts = {name: _by_class(part) * (in_training == 0) for name, part in others.items()}
    lacking = [encoded.classes[i] for i in np.flatnonzero(np.sum(list(counts.values()), 0))] if counts else []
    if lacking and in_training.sum():
        one = len(lacking) == 1
        where = ", ".join(f"{int(count.sum()):,} in {name}" for name, count in counts.items() if count.any())
        found.append(
            f"Task '{task}': {_listed(lacking)} {'has' if one else 'have'} no example in training, and "
            f"{where}. No model can learn {'it' if one else 'them'}: divide the rows otherwise, or give "
            "Label(..., classes=[...], unseen='missing' or 'wrong') without."
        )
    return found


def _by_class(encoded: Encoded) -> np.ndarray:
    """How many labels there are of each class."""
    if encoded.kind == "multi":
        return np.asarray((encoded.entries == 1).sum(0))
    return np.bincount(encoded.entries[encoded.entries >= 0], minlength=len(encoded.classes))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _listed(names: Sequence[Any], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(word(name)) for name in names[:most]) + more
