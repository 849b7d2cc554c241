"""Tags: one label for each token of a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras.data._columns import Column, word
from mtlkeras.data._encoded import Encoded, RowName, meanings_of, not_a_class, unseen_id
from mtlkeras.data._sequences import Sequences, sequences


def encode_tags(task: str, label: Any, column: Column, row_name: RowName) -> Encoded:
    """Turns a column of lists of tags into ids, -1 for a tag that is missing.

    Args:
        task: The task's name, for error messages.
        label: Its `Label`.
        column: One list of tags a row, or words that `label.separator` parts (else blanks).
        row_name: Names a row in error messages, from its position.

    Raises:
        ValueError: If a tag is not among the classes, unless the label says what it then is.
    """
    lists = token_lists(column, label.separator)
    if label.classes is None:
        classes: Any = sorted({tag for tags in lists for tag in tags} - {word(m) for m in label.missing})
    else:
        classes = label.classes
    meanings = meanings_of(classes)
    ids = _with_missing(meanings, label.missing)
    other = unseen_id(label.unseen)
    for row, tags in enumerate(lists if other is None else ()):
        for tag in tags:
            if tag not in ids:
                raise not_a_class(task, tag, meanings, row_name(row))
    values = sequences([[ids.get(tag, other) for tag in tags] for tags in lists], np.int32, MISSING)
    return Encoded(values, "tags", tuple(word(name) for name in classes))


def token_lists(column: Column, separator: str | None = None) -> list[list[str]]:
    """Returns the words of each row of a column of lists, or of words with blanks in between."""
    return [
        [] if gone else _split(value, separator)
        for value, gone in zip(column.values, column.missing, strict=True)
    ]


def _split(value: Any, separator: str | None) -> list[str]:
    if isinstance(value, (list, tuple, np.ndarray)):
        return [word(entry) for entry in value]
    return word(value).split(separator)


def _with_missing(meanings: Mapping[str, int], missing: Sequence[Any]) -> dict[str, int]:
    return {**meanings, **{word(marker): MISSING for marker in missing}}


def check_lengths(tokens: Mapping[str, Any], tags: Mapping[str, Encoded], row_name: RowName) -> None:
    """Checks that every sentence has one tag for each token, in each tagging task.

    Where there are several inputs of tokens, as the two sentences of a pair, the tags must be those
    of one of them.

    Args:
        tokens: The inputs by name; those that are no sequences are passed over.
        tags: The labels by task; likewise.
        row_name: Names a row in error messages, from its position.

    Raises:
        ValueError: If lengths differ; the message names the example and both lengths.
    """
    inputs = {name: value.lengths for name, value in tokens.items() if isinstance(value, Sequences)}
    for task, encoded in tags.items():
        if not isinstance(encoded.values, Sequences) or not inputs:
            continue
        found = encoded.values.lengths
        # A sentence without any tags has none to compare.
        wrong = {name: np.flatnonzero((found > 0) & (found != own)) for name, own in inputs.items()}
        name = min(wrong, key=lambda name: len(wrong[name]))
        if len(wrong[name]):
            row = int(wrong[name][0])
            raise ValueError(
                f"In {row_name(row)} input '{name}' has {inputs[name][row]} tokens, but task '{task}' has "
                f"{found[row]} tags; there must be one for each token (number of such examples: "
                f"{len(wrong[name])})."
            )
