"""Files with one token a line: CoNLL columns and CoNLL-U."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtlkeras.data._columns import from_objects
from mtlkeras.data._rows import Rows

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U."""

_COMMENT = re.compile(r"#\s*([^=]+?)\s*=\s*(.*)")
_DOCUMENT = "-DOCSTART-"
# In CoNLL-U: 3-4 is a token of several words, 5.1 a word that is not in the text.
_NO_WORD = re.compile(r"\d+[-.]\d+")


@dataclasses.dataclass
class _Sentence:
    comments: dict[str, str] = dataclasses.field(default_factory=dict)
    tokens: list[list[str]] = dataclasses.field(default_factory=list)


def read_conll(name: str, stream: Any, columns: Sequence[str], on_error: str = "raise") -> Rows:
    """Reads a file with one token a line and an empty line after each sentence.

    Args:
        name: Name of the file, for messages.
        stream: Its lines.
        columns: Names of the columns, which tabs or else blanks part.
        on_error: `"raise"`, or `"skip"` to leave out sentences that cannot be read.

    Returns:
        A row for each sentence, with a list for each column, and a word for each comment
        `# key = value` before its first token.

    Raises:
        ValueError: If the file is empty, or a line has another number of columns; the message
            names the line.
    """
    _check_names(name, columns)
    sentences, numbers, skipped = [], [], []
    for number, (sentence, problem) in enumerate(_sentences(name, stream, len(columns)), 1):
        if problem and on_error != "skip":
            raise ValueError(f"{problem}. Pass on_error='skip' to leave such sentences out.")
        if problem:
            skipped.append(problem)
            continue
        sentences.append(sentence)
        numbers.append(number)
    if not sentences and not skipped:
        raise ValueError(f"{name} is empty; expected lines of {len(columns)} columns, one for each token.")
    places = {column: place for place, column in enumerate(columns)}
    table = {
        column: from_objects([[token[place] for token in s.tokens] for s in sentences])
        for column, place in places.items()
    }
    for key in dict.fromkeys(key for s in sentences for key in s.comments if key not in places):
        table[key] = from_objects([s.comments.get(key) for s in sentences])
    return Rows(name, table, np.array(numbers, np.int64), skipped=skipped, sequences=tuple(columns))


def _check_names(name: str, columns: Sequence[str]) -> None:
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(
            f"columns= must name each column of {name} once, in their order; received {tuple(columns)!r}."
        )


def _sentences(name: str, stream: Any, width: int) -> Iterator[tuple[_Sentence, str]]:
    """Yields each sentence and what is wrong with it."""
    sentence, problem = _Sentence(), ""
    for number, line in enumerate(stream, 1):
        line = line.rstrip("\r\n")
        if not line.strip():
            if sentence.tokens or problem:
                yield sentence, problem
                sentence, problem = _Sentence(), ""
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if not sentence.tokens and line.startswith("#") and _is_comment(line, cells, width, sentence):
            continue
        if cells[0] == _DOCUMENT or (width == len(CONLLU) and _NO_WORD.fullmatch(cells[0])):
            continue
        if len(cells) != width or "" in cells:
            what = "an empty cell" if len(cells) == width else f"{len(cells)} columns instead of {width}"
            problem = problem or f"Line {number} of {name} has {what}"
        sentence.tokens.append(cells)
    if sentence.tokens or problem:
        yield sentence, problem


def _is_comment(line: str, cells: list[str], width: int, sentence: _Sentence) -> bool:
    match = _COMMENT.match(line)
    if match and "\t" not in line:
        sentence.comments[match[1]] = match[2]
        return True
    return len(cells) != width
