"""How much better several tasks are than a baseline, in one number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import near_match

_SIGNS = {"up": 1.0, "down": -1.0}

Scores = Mapping[str, "float | Mapping[str, float]"]
"""A score a task, or several by the metric's name."""


def delta_m(scores: Scores, baseline: Scores, directions: str | Mapping[str, Any] = "up") -> float:
    """Returns the mean relative gain over a baseline, in percent: delta m.

    100 / T times the sum over the T tasks of s (M - B) / |B|, for the score M, that of the baseline B, and s
    = 1 where higher is better, -1 where lower is. A task with several metrics counts with their mean.

    Args:
        scores: By task a number, or a dict of numbers by metric.
        baseline: The same of what it is compared with, as a rule single-task models.
        directions: `"up"` where higher is better, `"down"` where lower is: one for all, or by task, and there
            one or by metric.

    Raises:
        ValueError: If the three do not have the same keys, a number is NaN or infinite, a baseline is 0, or a
            direction is neither.

    Example:

    ```python
    mtlkeras.analysis.delta_m(
        {"depth": 0.55, "segmentation": {"miou": 0.42, "accuracy": 0.77}},
        {"depth": 0.50, "segmentation": {"miou": 0.40, "accuracy": 0.70}},
        {"depth": "down", "segmentation": "up"},
    )  # -1.25: (-10 + (5 + 10) / 2) / 2
    ```

    References:
        - Maninis, Radosavovic and Kokkinos 2019, Attentive Single-Tasking of Multiple Tasks (the mean drop of
          a task).
        - Vandenhende et al. 2021, Multi-Task Learning for Dense Prediction Tasks: A Survey (its measure of
          multi-task performance).
    """
    _check_keys(scores, baseline, "baseline", "task")
    if not scores:
        raise ValueError("delta_m: scores has no task.")
    if isinstance(directions, Mapping):
        _check_keys(scores, directions, "directions", "task")
    else:
        directions = dict.fromkeys(scores, directions)
    gains = [_gain(task, scores[task], baseline[task], directions[task]) for task in scores]
    return 100.0 * math.fsum(gains) / len(gains)


def _gain(name: str, score: Any, base: Any, direction: Any) -> float:
    """Returns the relative gain of a task, or of one metric, as a share."""
    if isinstance(score, Mapping):
        _check_keys(score, base, f"baseline of '{name}'", "metric")
        if not score:
            raise ValueError(f"delta_m: task '{name}' has no metric.")
        if not isinstance(direction, Mapping):
            direction = dict.fromkeys(score, direction)
        _check_keys(score, direction, f"directions of '{name}'", "metric")
        gains = [_gain(f"{name}/{m}", score[m], base[m], direction[m]) for m in score]
        return math.fsum(gains) / len(gains)
    score, base = _number(score, f"scores of '{name}'"), _number(base, f"baseline of '{name}'")
    if base == 0:
        raise ValueError(f"delta_m: the baseline of '{name}' is 0, to which there is no relative change.")
    if not isinstance(direction, str) or direction not in _SIGNS:
        raise ValueError(f"delta_m: directions of '{name}' must be 'up' or 'down'; received {direction!r}.")
    return _SIGNS[direction] * (score - base) / abs(base)


def _check_keys(scores: Any, other: Any, argument: str, what: str) -> None:
    """Raises `ValueError` unless something is a dict with the keys that the scores have."""
    for value, name in ((scores, "scores"), (other, argument)):
        if not isinstance(value, Mapping):
            raise ValueError(f"delta_m: {name} must be a dict by {what}; received {value!r}.")
    lacking = [key for key in scores if key not in other]
    surplus = [key for key in other if key not in scores]
    if lacking or surplus:
        said = f"has no {what} {', '.join(map(repr, lacking))}" if lacking else f"has also {surplus[0]!r}"
        raise ValueError(
            f"delta_m: {argument} {said}, unlike scores."
            f"{near_match((lacking or surplus)[0], surplus if lacking else scores)}"
        )


def _number(value: Any, where: str) -> float:
    try:
        number = float(np.asarray(value, "float64").item())
    except (TypeError, ValueError):
        raise ValueError(f"delta_m: {where} must be a number; received {value!r}.") from None
    if not math.isfinite(number):
        raise ValueError(f"delta_m: {where} must be finite; received {number}.")
    return number
