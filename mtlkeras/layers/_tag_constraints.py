"""Which tag may follow which, from the tags' names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtlkeras._errors import unknown_name

SCHEMES = {"BIO": "BIO", "BIOES": "BIOES", "IOBES": "BIOES"}


def split_tag(tag: str) -> tuple[str, str]:
    """Returns the prefix and the type of a tag: `("B", "city")` for `"B-city"`, `("O", "")` for `"O"`."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def check_tags(tags: Sequence[str], scheme: str, where: str) -> None:
    """Checks that tags are of a scheme.

    Raises:
        ValueError: For an unknown scheme, or a tag that is not of it; both are named.
    """
    if scheme not in SCHEMES:
        raise unknown_name("scheme", scheme, SCHEMES, where)
    for tag in tags:
        prefix, kind = split_tag(tag)
        if tag != "O" and not (prefix in SCHEMES[scheme].replace("O", "") and kind):
            wanted = ", ".join(f"'{p}-TYPE'" for p in SCHEMES[scheme].replace("O", ""))
            raise ValueError(f"{where}: tag '{tag}' is not of the scheme {scheme}: expected 'O', {wanted}.")


def allowed_transitions(tags: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what the scheme allows, as bool arrays.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`).

    Returns:
        Which tag may follow which, shape `(from, to)`; begin a sequence, `(tags,)`; end one.

    Raises:
        ValueError: For an unknown scheme, or a tag that is not of it.
    """
    check_tags(tags, scheme, "constraints")
    parts = [split_tag(tag) for tag in tags]
    may_stop = SCHEMES[scheme] == "BIO"  # Where an entity needs no end of its own.

    def follows(before: tuple[str, str] | None, after: tuple[str, str] | None) -> bool:
        is_open = before is not None and before[0] in ("B", "I")
        if after is not None and after[0] in ("I", "E"):
            return is_open and before is not None and before[1] == after[1]
        return may_stop or not is_open

    pairs = np.array([[follows(before, after) for after in parts] for before in parts])
    start = np.array([follows(None, after) for after in parts])
    end = np.array([follows(before, None) for before in parts])
    return pairs, start, end
