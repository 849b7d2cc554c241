"""Channels by number, and which of them go or stay together."""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray
"""The numbers of channels along an axis, int64."""


class Channels:
    """Sets of channels that go together (Galler and Fischer 1964), and why some must stay."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._parents)

    def fresh(self, count: int) -> Numbers:
        """Returns the numbers of new channels, each in a set of its own."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def _root(self, number: int) -> int:
        root = number
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[number] != root:
            self._parents[number], number = root, self._parents[number]
        return root

    def tie(self, one: Any, other: Any) -> None:
        """Joins the sets of channels pairwise."""
        for a, b in dict.fromkeys(zip(map(int, one), map(int, other), strict=True)):
            a, b = self._root(a), self._root(b)
            if a == b:
                continue
            self._parents[b] = a
            reason = self._reasons.pop(b, None)
            if reason is not None:
                self._reasons.setdefault(a, reason)

    def lock(self, numbers: Any, reason: str) -> None:
        """Has channels stay, for a reason in words."""
        for number in dict.fromkeys(map(int, numbers)):
            self._reasons.setdefault(self._root(number), reason)

    def roots(self, numbers: Any) -> Numbers:
        """Returns what stands for each channel's set."""
        return np.array([self._root(int(number)) for number in numbers], "int64")

    def reason(self, number: int) -> str | None:
        """Returns why a channel must stay, or `None`."""
        return self._reasons.get(self._root(int(number)))
