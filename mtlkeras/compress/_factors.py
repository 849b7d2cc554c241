"""Kernels as products of two, by singular values."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Factors:
    """A kernel as the product of two.

    Args:
        first: That of the layer that comes before, in the shape of its kernel.
        second: That which the layer keeps.
    """

    first: np.ndarray
    second: np.ndarray

    @property
    def rank(self) -> int:
        """The number of channels between the two."""
        return self.first.shape[-1]


def factors_of(kernel: np.ndarray, rank: int | None, energy: float) -> Factors | None:
    """Returns the factors of a kernel, or `None` where they would have no fewer numbers.

    Args:
        kernel: Its last axis is what the layer gives.
        rank: The rank; `None` for the least that keeps enough of the energy.
        energy: The share of the sum of the squared singular values.
    """
    value = kernel.astype("float64")
    left, values, right = np.linalg.svd(value.reshape(-1, value.shape[-1]), full_matrices=False)
    if rank is None:
        there = int((values > values[0] * np.finfo("float32").eps * max(value.shape)).sum())
        kept = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
        rank = min(max(there, 1), int(np.searchsorted(kept, energy)) + 1)
    rank = min(rank, len(values))
    if rank * (left.shape[0] + right.shape[1]) >= value.size:
        return None
    roots = np.sqrt(values[:rank])
    first, second = left[:, :rank] * roots, roots[:, None] * right[:rank]
    ones = (1,) * (value.ndim - 2)
    return Factors(
        first.reshape(*value.shape[:-1], rank).astype(kernel.dtype),
        second.reshape(*ones, rank, value.shape[-1]).astype(kernel.dtype),
    )
