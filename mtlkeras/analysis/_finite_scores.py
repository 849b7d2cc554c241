"""Explanations of answers that are no numbers, which would be no numbers or zero themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mtlkeras.analysis._input_values import Values

_SHOWN = 3


def check_infinity(asked_by: str, values: Values, given_by: str) -> None:
    """Raises `ValueError` for an input that is infinite, which is never a way to be missing.

    Args:
        asked_by: What to name in messages.
        values: The inputs.
        given_by: What the inputs are to the caller: `"x"` or `"baseline="`.
    """
    for name, array in values.items():
        wrong = np.isinf(array) if array.dtype.kind == "f" else np.zeros(0)
        if wrong.any():
            example = int(np.argwhere(wrong)[0][0])
            raise ValueError(
                f"{asked_by}: input '{name}' of {given_by} holds infinity in example {example}"
                f"{_places(wrong[example])}."
            )


def check_scores(asked_by: str, scores: np.ndarray, values: Values, given_by: str) -> None:
    """Raises `ValueError` for an example whose score is no number, and says which input has brought it.

    A model that takes NaN for what is missing, as `SharedProjection` does, gives a number; others, such as an
    `MLP`, hand it on.

    Args:
        asked_by: What to name in messages.
        scores: The scores, `(examples,)`.
        values: The inputs that they are of.
        given_by: What the inputs are to the caller: `"x"` or `"baseline="`.
    """
    wrong = np.flatnonzero(~np.isfinite(scores))
    if not len(wrong):
        return
    example = int(wrong[0])
    gaps = {name: np.isnan(v[example]) for name, v in values.items() if v.dtype.kind == "f"}
    gaps = {name: there for name, there in gaps.items() if there.any()}
    if not gaps:
        raise ValueError(
            f"{asked_by}: the score of example {example} is {scores[example]}, though its inputs are finite: "
            "do weights of the model hold NaN?"
        )
    # What an example lacks as a whole may be missing by right: one with some numbers first.
    name = min(gaps, key=lambda name: bool(gaps[name].all()))
    where = f"in example {example}{_places(gaps[name])}"
    raise ValueError(
        f"{asked_by}: input '{name}' of {given_by} holds NaN {where}, which the model does not take for "
        f"missing: its score is {scores[example]}. Fill it in, or leave the example out."
    )


def check_attributions(asked_by: str, attributions: Iterable[np.ndarray]) -> None:
    """Raises `ValueError` if an attribution is NaN or infinity where the scores are finite."""
    for found in attributions:
        wrong = np.argwhere(~np.isfinite(found))
        if len(wrong):
            raise ValueError(
                f"{asked_by}: what a part of example {wrong[0][0]} adds is no number, though its score is: "
                "towards the baseline the model gives NaN or infinity. Choose another baseline=."
            )


def check_baseline(asked_by: str, baseline: Values, values: Values) -> None:
    """Raises `ValueError` if a baseline is NaN where the input is none: no line joins the two."""
    for name, start in baseline.items():
        if start.dtype.kind != "f":
            continue
        wrong = np.argwhere(np.isnan(start) & ~np.isnan(values[name]))
        if len(wrong):
            raise ValueError(
                f"{asked_by}: baseline= of input '{name}' holds NaN for example {wrong[0][0]}, from which "
                "no line leads to a number."
            )


def _places(there: np.ndarray) -> str:
    """Returns in words where in an example something is; nothing if it is everywhere."""
    if there.all():
        return ""
    places = [str(place.tolist()) for place in np.argwhere(there)]
    return f" at {', '.join(places[:_SHOWN])}{', ...' if len(places) > _SHOWN else ''}"
