"""Checks of the fields that several trunks have."""

from __future__ import annotations

from typing import Any

from mtlkeras._errors import near_match


def check_choice(trunk: Any, field: str, choices: tuple) -> None:
    """Raises `ValueError` unless a field's value is one of the choices."""
    value = getattr(trunk, field)
    if value not in choices:
        raise ValueError(
            f"{type(trunk).__name__}: {field} must be one of {', '.join(map(repr, choices))}; "
            f"received {value!r}.{near_match(value, [c for c in choices if isinstance(c, str)])}"
        )


def check_positive(trunk: Any, field: str) -> None:
    """Raises `ValueError` unless a field is a whole number of at least 1."""
    value = getattr(trunk, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{type(trunk).__name__}: {field} must be a whole number of at least 1; received {value!r}."
        )


def check_regularization(trunk: Any) -> None:
    """Raises `ValueError` for a negative penalty or a dropout rate outside of [0, 1)."""
    for field in ("l1", "l2"):
        if not getattr(trunk, field) >= 0:
            raise ValueError(
                f"{type(trunk).__name__}: {field} must not be negative; received {getattr(trunk, field)!r}."
            )
    if not 0 <= trunk.dropout < 1:
        raise ValueError(f"{type(trunk).__name__}: dropout must be in [0, 1); received {trunk.dropout!r}.")
