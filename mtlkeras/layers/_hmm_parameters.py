"""Parameters of an HMM as a user gives them: probabilities, means and variances, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name


def merged_parameters(
    owner: str, current: Mapping[str, np.ndarray], values: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the parameters of a layer with some of them replaced, these in float64.

    Args:
        owner: The layer, for errors.
        current: The parameters it has, by name.
        values: Those that take their place.

    Raises:
        ValueError: For an unknown name, a value of another shape, one that cannot be, or probabilities
            that do not sum to 1.
    """
    for name, value in values.items():
        if name not in current:
            raise unknown_name("parameter", name, current, f"set_probabilities of {owner}")
        if np.shape(value) != current[name].shape:
            raise ValueError(
                f"{owner}: expected {name} of shape {current[name].shape}; received {np.shape(value)}."
            )
        _check_values(owner, name, np.asarray(value, "float64"))
    merged = {**current, **{name: np.asarray(value, "float64") for name, value in values.items()}}
    _check_sums(owner, "start", merged["start"][None])
    _check_sums(
        owner, "transitions with final" if "final" in merged else "transitions", all_transitions(merged)
    )
    if "emissions" in merged:
        _check_sums(owner, "emissions", merged["emissions"])
    return merged


def all_transitions(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the transitions, with those to the end in the last column if they count."""
    final = [parameters["final"][:, None]] if "final" in parameters else []
    return np.concatenate([parameters["transitions"], *final], axis=1)


def _check_values(owner: str, name: str, value: np.ndarray) -> None:
    if name == "means":
        fits, wanted = np.isfinite(value), "finite"
    elif name == "variances":
        fits, wanted = np.isfinite(value) & (value > 0), "finite and above 0"
    else:
        fits, wanted = (value >= 0) & np.isfinite(value), "probabilities, which are not negative"
    if not fits.all():
        raise ValueError(f"{owner}: {name} must be {wanted}; received {value[~fits][0]}.")


def _check_sums(owner: str, name: str, rows: np.ndarray) -> None:
    sums = rows.sum(axis=-1)
    wrong = ~(np.abs(sums - 1.0) <= 0.01)
    if wrong.any():
        row = f" of state {int(np.flatnonzero(wrong)[0])}" if len(rows) > 1 else ""
        raise ValueError(f"{owner}: {name}{row} must sum to 1; the sum is {sums[wrong][0]:.6g}.")
