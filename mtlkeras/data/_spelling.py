"""How values are spelt: words for what is missing, numbers as people write them, words that look alike."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

# What pandas reads as missing (`read_csv(na_values=...)`), and signs that people write in a table for it;
# small letters stand for capitals too.
MISSING_WORDS = frozenset(
    (
        *("#n/a", "#n/a n/a", "#na", "<na>", "n/a", "na", "n.a.", "null", "nil", "none", "nan", "-nan"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "-", "--", "?", "."),
    )
)

# A number as people write it: signs of currencies and units, blanks and points between thousands, a comma.
_WRITTEN = re.compile(r"[-+]?[$€£¥₹]?\s*\d{1,3}(?:[.,' \u00a0\u202f]?\d{3})*(?:[.,]\d+)?\s*[%$€£¥₹]?")


def plain(spelt: str) -> str:
    """A word without what the eye passes over: case, blanks around and doubled, forms of a letter."""
    return " ".join(unicodedata.normalize("NFKC", spelt).casefold().split())


def is_one_letter_off(first: str, second: str) -> bool:
    """Whether a letter more, less or another one, or two changed round, make one word of the other.

    Digits count things, so that "type 1" is no "type 2".
    """
    if abs(len(first) - len(second)) > 1:
        return False
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    a, b = first[start : len(first) - end], second[start : len(second) - end]
    if any(letter.isdigit() for letter in a + b):
        return False
    return max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])


def is_written_number(spelt: str) -> bool:
    return is_float(spelt) or _WRITTEN.fullmatch(spelt.strip()) is not None


def is_float(spelt: str) -> bool:
    try:
        return bool(np.isfinite(float(spelt)))
    except ValueError:
        return False
