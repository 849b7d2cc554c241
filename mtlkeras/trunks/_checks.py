"""Checks of the fields that several trunks have."""

from __future__ import annotations

from typing import Any


def check_regularization(trunk: Any) -> None:
    """Raises `ValueError` for a negative penalty or a dropout rate outside of [0, 1)."""
    for field in ("l1", "l2"):
        if not getattr(trunk, field) >= 0:
            raise ValueError(
                f"{type(trunk).__name__}: {field} must not be negative; received {getattr(trunk, field)!r}."
            )
    if not 0 <= trunk.dropout < 1:
        raise ValueError(f"{type(trunk).__name__}: dropout must be in [0, 1); received {trunk.dropout!r}.")
