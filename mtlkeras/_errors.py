"""Error texts that name the thing, what was expected and the nearest known name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Frame the message of a check inside a data pipeline, which comes back within TensorFlow's own.
_MARK, _END = "<label check> ", "</label check>"


def near_match(name: object, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for a likely misspelling, otherwise `""`."""
    known = list(known)
    lowered = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[matches[0]]}'?" if matches else ""


def unknown_name(what: str, name: object, known: Iterable[str], where: str) -> ValueError:
    """Builds the error for a name that is not among the known ones.

    Args:
        what: Kind of thing that was named, such as `"task"`.
        name: The name received.
        known: The names that exist.
        where: The argument (and owner) in which the name stood.
    """
    known = list(known)
    return ValueError(
        f"Unknown {what} '{name}' in {where}.{near_match(name, known)} "
        f"Known {what}{'es' if what.endswith('s') else 's'}: {', '.join(map(repr, known)) or 'none'}."
    )


def framed(text: str) -> str:
    """Returns a message that `label_error` finds in what TensorFlow makes of it."""
    return f"{_MARK}{text}{_END}"


def label_error(error: Exception) -> str | None:
    """Returns the message of a failed label check inside a data pipeline, if it is one."""
    found = re.search(f"{_MARK}(.*?{_END})", str(error), re.DOTALL)
    return found.group(1).replace(_END, "").replace("\\'", "'") if found else None
