"""Parts of a report that may fail without the rest of it, each failure kept to be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Attempts:
    """Makes parts of a report; what fails is `None`, and told in `failures`."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, what: str, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns what `make` gives, or `None` if it raises an error.

        Args:
            what: What is made, for the message.
            make: Makes it.
            *args: Its arguments.
            **kwargs: Its arguments by name.
        """
        try:
            return make(*args, **kwargs)
        except Exception as error:  # Whatever it is: a finished training must not fail for its report.
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            return None
