"""What the user is told when something goes wrong."""

from __future__ import annotations

import re

_USER_ERRORS = (ValueError, OSError, ImportError, FloatingPointError)
# TensorFlow wraps the error of a data pipeline's function in its own stack traces.
_IN_PIPELINE = re.compile(
    r"^(?:Value|OS|FileNotFound|Type|Key)Error: (.+)$|([^:\n]+ has NaN or infinity)", re.MULTILINE
)


def user_message(error: Exception) -> str | None:
    """Returns what to tell for a mistake in what was asked for or in the data.

    `None` for an error of another kind, such as a fault in a recipe's code, for which only
    the traceback helps.
    """
    if isinstance(error, _USER_ERRORS):
        return str(error)
    if type(error).__name__ == "ResourceExhaustedError" or isinstance(error, MemoryError):
        return "Out of memory. A smaller --batch-size or a smaller model may fit."
    if type(error).__name__ == "InvalidArgumentError":
        found = _IN_PIPELINE.search(str(error))
        return found and (found[1] or found[2]).strip()
    return None
