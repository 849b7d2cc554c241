"""The versions of Keras that the tests have run with."""

from __future__ import annotations

import re
import warnings

OLDEST = (3, 12)
"""As pyproject.toml's lower bound; `make test-oldest` installs it."""

NEWEST = (3, 15)
"""As requirements.txt has it; raise it when all tests pass with a newer one."""


def warn_if_untested(version: str) -> None:
    """Warns if a version of Keras is outside of the range that the tests have run with.

    Any patch release of a tested minor version counts as tested. What the library needs of Keras' inner
    parts may change with a minor version, so that a model may train wrongly rather than fail.

    Args:
        version: As `keras.__version__` gives it; one that cannot be read counts as untested.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and OLDEST <= (int(found[1]), int(found[2])) <= NEWEST:
        return
    oldest, newest = (".".join(map(str, bound)) for bound in (OLDEST, NEWEST))
    warnings.warn(
        f"mtlkeras is tested with Keras {oldest} to {newest}; this is Keras {version}. It may well work: "
        f"`pytest tests/test_keras_private.py` in a clone tells what has changed. Please report on the "
        f"project's issue page what does not work, or that all does.",
        stacklevel=3,
    )
