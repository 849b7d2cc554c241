"""Whole numbers by source that keep to shares, and an order in which they hold all along."""

from __future__ import annotations

import numpy as np


def allocated(quotas: np.ndarray, total: int) -> np.ndarray:
    """Returns whole numbers that sum to a total, each next to its quota: those of the largest remainder.

    Args:
        quotas: How much each source is to have, float, summing to the total; shape `(sources,)`.
            Slightly negative ones count as 0.
        total: The sum.
    """
    quotas = np.round(np.maximum(quotas, 0.0), 6)  # A rounding error must not move a whole one.
    whole = np.floor(quotas).astype(np.int64)
    # The order is that of the sources where remainders are equal.
    ranked = np.argsort(-(quotas - whole), kind="stable")
    left = int(total - whole.sum())
    if left >= 0:
        whole[ranked[: left % len(whole)]] += 1
        whole += left // len(whole)
        return whole
    for source in ranked[::-1]:  # What a negative quota left over.
        taken = min(-left, int(whole[source]))
        whole[source] -= taken
        left += taken
    return whole


def spread(counts: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
    """Returns an order of sources in which each comes as often as it is to, evenly spread.

    The i-th unit of a source that has n is drawn from the i-th of n equal parts of the epoch, so that
    every part of an epoch has nearly the shares of the whole.

    Args:
        counts: Units of each source, shape `(sources,)`.
        random: Draws the places within the parts; `None` takes their middle.

    Returns:
        The source of each unit, int64, shape `(sum of counts,)`.
    """
    places = []
    for count in counts.tolist():
        within = np.full(count, 0.5) if random is None else random.random(count)
        places.append((np.arange(count) + within) / max(count, 1))
    sources = np.repeat(np.arange(len(counts)), counts)
    return sources[np.argsort(np.concatenate(places), kind="stable")]


def row_places(order: np.ndarray, batch_size: int, sources: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many rows of each source each batch has, and which rows of it these are.

    Args:
        order: The source of each example, shape `(examples,)`.
        batch_size: Examples in a batch; the last may have less.
        sources: Number of sources.

    Returns:
        Counts, int64 `(batches, sources)`, and places, int64 `(examples,)`: batch by batch, the rows of the
        first source, those of the second, and so on.
    """
    batch = np.arange(len(order)) // batch_size
    batches = int(batch[-1]) + 1
    counts = np.bincount(batch * sources + order, minlength=batches * sources).reshape(batches, sources)
    return counts, np.lexsort((order, batch)) - batch * batch_size
