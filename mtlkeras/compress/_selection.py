"""Which sets of channels go, for a target in size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mtlkeras.compress._graph import Graph
from mtlkeras.compress._size import products


class Size:
    """What a model would cost without some sets of channels.

    Args:
        graph: Its graph.
        by: `"flops"` or `"weights"`.

    Raises:
        ValueError: If the operations cannot be counted.
    """

    def __init__(self, graph: Graph, by: str) -> None:
        self._graph = graph
        slices: dict[int, list[Any]] = {}
        for layer in graph.layers.values():
            for part in layer.slices:
                slices.setdefault(id(part.weight), []).append(
                    (part.axis, graph.channels.roots(part.channels))
                )
        if by == "flops":
            counted = [(kernel, 2 * times) for _, kernel, times in products(graph.model)]
        else:
            counted = [(weight, 1) for weight in graph.model.weights]
        self._terms = [
            (times * math.prod(weight.shape), slices.get(id(weight), [])) for weight, times in counted
        ]

    def without(self, removed: Iterable[int]) -> float:
        """Returns the operations or weights where some sets are gone, given by their roots."""
        gone = np.zeros(len(self._graph.channels), bool)
        gone[list(removed)] = True
        return sum(
            full * math.prod(float(1.0 - gone[roots].mean()) for _, roots in axes)
            for full, axes in self._terms
        )

    def savings(self) -> np.ndarray:
        """Returns what the removal of each set alone would save, at the place of its root."""
        found = np.zeros(len(self._graph.channels))
        for full, axes in self._terms:
            left = np.ones(len(found))
            for _, roots in axes:
                left *= 1.0 - np.bincount(roots, minlength=len(found)) / len(roots)
            found += full * (1.0 - left)
        return found


class Candidates:
    """The sets of channels that may go, from the least important one.

    Args:
        graph: The graph.
        scores: The importance of each set, at the place of its root.
        round_to: A multiple of what each layer keeps.
        most: The largest share of its channels that a layer loses.
    """

    def __init__(self, graph: Graph, scores: np.ndarray, round_to: int, most: float) -> None:
        channels = graph.channels
        self._scores, self._round, self._most = scores, round_to, most
        self._by_layer = [channels.roots(layer.made) for layer in graph.makers() if layer.made is not None]
        roots = sorted({int(root) for layer in self._by_layer for root in layer})
        self.order = sorted(
            (root for root in roots if channels.reason(root) is None), key=lambda root: (scores[root], root)
        )

    def first(self, count: int) -> set[int]:
        """Returns the least important sets, without those that layers need to keep what they must."""
        removed = set(self.order[:count])
        while any(self._restored(layer, removed) for layer in self._by_layer):
            pass
        return removed

    def _restored(self, layer: np.ndarray, removed: set[int]) -> bool:
        """Takes the most important sets back until a layer has enough channels; returns whether any."""
        there = sum(int(root) not in removed for root in layer)
        least = max(1, math.ceil(len(layer) * (1.0 - self._most) - 1e-9))
        wanted = min(len(layer), math.ceil(max(there, least) / self._round) * self._round)
        gone = sorted({int(root) for root in layer} & removed, key=lambda root: (self._scores[root], root))
        missing = wanted - there
        for root in reversed(gone):
            if missing <= 0:
                break
            removed.discard(root)
            missing -= int((layer == root).sum())
        return wanted > there and bool(gone)


def fewest(candidates: Candidates, size: Callable[[Iterable[int]], float], target: float) -> set[int]:
    """Returns the fewest sets, from the least important one, whose removal brings the size to a target.

    Where even all of them do not, all are returned.
    """
    low, high = 0, len(candidates.order)
    while low < high:
        middle = (low + high) // 2
        if size(candidates.first(middle)) <= target:
            high = middle
        else:
            low = middle + 1
    return candidates.first(low)
