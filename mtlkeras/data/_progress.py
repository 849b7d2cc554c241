"""A progress bar for long work, and silence for short work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 2.0
"""Seconds of work before anything is shown."""


def track(items: Iterable[T], total: int | None, what: str, verbose: Any = "auto") -> Iterator[T]:
    """Passes items on; shows a progress bar when they take more than two seconds.

    Args:
        items: What to go through.
        total: Their number, or `None` if it is not known.
        what: The work in words.
        verbose: `"auto"` shows a bar on a terminal; `True` also prints a line at the end
            where there is no terminal; `False` shows nothing.
    """
    start, bar, task, count = time.monotonic(), None, None, 0
    try:
        for count, item in enumerate(items, 1):
            yield item
            if bar is None and verbose and sys.stderr.isatty() and time.monotonic() - start > _PATIENCE:
                bar, task = _bar(what, total)
            if bar is not None:
                bar.update(task, completed=count)
    finally:
        if bar is not None:
            bar.stop()
    seconds = time.monotonic() - start
    if bar is None and verbose is True and seconds > _PATIENCE:
        print(f"{what}: {count} in {seconds:.1f} s", flush=True)


def _bar(what: str, total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    bar.start()
    return bar, bar.add_task(what, total=total)
