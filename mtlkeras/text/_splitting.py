"""How a text becomes tokens, in Python; `mtlkeras._backends.tensorflow.strings` does the same in TensorFlow.

Both must give the same for every text. Upper and lower case are Unicode's; white space and
the classes of regular expressions such as `\\w` are ASCII's, as in TensorFlow's RE2.
"""

from __future__ import annotations

import re

CHARACTERS = "characters"
_BLANK = r" \t\n\r\f\v"
_MARK = r"!-/:-@\[-`{-~"
PATTERNS = {
    "whitespace": f"[^{_BLANK}]+",
    "punctuation": f"[{_MARK}]|[^{_BLANK}{_MARK}]+",
}
"""The regular expression of a token by the name of a rule."""

# Stand around a match, within TensorFlow; in a text they count as white space.
START, END = "\x1f", "\x1e"


def pattern_of(rule: str) -> str:
    """Returns the regular expression that matches a token."""
    return PATTERNS.get(rule, rule)


def split_text(text: str, rule: str) -> list[str]:
    """Returns the tokens of a text.

    Args:
        text: The text.
        rule: `"whitespace"`, `"punctuation"`, `"characters"` or a regular expression.
    """
    if rule == CHARACTERS:
        return list(text)
    text = text.replace(START, " ").replace(END, " ")
    return [m[0] for m in re.finditer(pattern_of(rule), text, re.ASCII) if m[0]]


def check_rule(owner: str, rule: str) -> None:
    """Raises `ValueError` for a rule that is neither a name nor a regular expression."""
    try:
        re.compile(pattern_of(rule), re.ASCII)
    except (re.error, TypeError) as error:
        rules = ", ".join(map(repr, (*PATTERNS, CHARACTERS)))
        raise ValueError(
            f"{owner}: expected {rules} or a regular expression of a token; received {rule!r} ({error})."
        ) from None


CASINGS = ("padding", "lower", "initial", "upper", "mixed", "digits", "with digit", "no letter")
"""The casing features by their ids."""


def casing(token: str) -> int:
    """Returns the id of a token's casing, see `CASINGS`."""
    if re.fullmatch("[0-9]*", token):
        return 5 if token else 0
    if re.search("[0-9]", token):
        return 6
    lower, upper = token.lower(), token.upper()
    if lower == upper:
        return 7
    if token == lower:
        return 1
    # A first letter may be of the same case in both, so only the rest decides.
    if token[1:] == lower[1:]:
        return 2
    return 3 if token == upper else 4
