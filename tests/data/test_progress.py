"""The progress bar shows itself for long work only."""

from __future__ import annotations

import io
import sys

import pytest

from mtlkeras.data import _progress as progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("patience", "verbose", "terminal", "bar", "line"),
    [
        (0, "auto", True, True, False),
        (0, True, True, True, False),
        (0, False, True, False, False),
        (60, True, True, False, False),
        (0, "auto", False, False, False),
        (0, True, False, False, True),
    ],
)
def test_shows_long_work(monkeypatch, capsys, patience, verbose, terminal, bar, line):
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    assert list(progress.track(range(5), 5, "Counting", verbose)) == list(range(5))
    assert ("Counting" in screen.getvalue()) == bar
    assert ("Counting: 5 in" in capsys.readouterr().out) == line


def test_bar_is_closed_when_work_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_PATIENCE", 0)
    work = progress.track(range(5), 5, "Counting")
    next(work), next(work)
    with pytest.raises(KeyError):
        work.throw(KeyError("stop"))
    assert list(progress.track([1], 1, "Counting")) == [1]
