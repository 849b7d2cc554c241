"""JAX: checks of what is known where a program is compiled, which cannot look at values and fail."""

from __future__ import annotations

from typing import Any


def check_at_most(values: Any, limit: int, length: int | None, message: str) -> Any:
    """Returns `values`, and fails with a message if there are more than `limit + 1` steps.

    A compiled program cannot look at values and fail, so that the padding of a batch counts here.

    Args:
        values: Whole numbers, one for each step of padded sequences.
        limit: The largest that may occur.
        length: Number of steps, where it is known.
        message: What to say.
    """
    if length is not None and length > limit + 1:
        raise ValueError(f"{message} On JAX the padding of the batch, {length} steps in all, counts too.")
    return values


def check_same_length(labels: Any, outputs: Any, message: str) -> Any:
    """Returns labels of sequences; their length is known, and compared where the step is traced."""
    return labels
