"""What a model is to have less of, as people say it."""

from __future__ import annotations

import math
from typing import Any

from mtlkeras._fields import frozen

MILLISECONDS = "milliseconds"
_HALF = {"flops": 0.5}


def target_of(flops: Any, weights: Any, milliseconds: Any, x: Any) -> tuple[str, float]:
    """Returns what is to be less, and which share of it or, of milliseconds, how much is to be left.

    Raises:
        ValueError: If it is not one number in its range, or `x` is there without milliseconds or the reverse.
    """
    asked = {"flops": flops, "weights": weights, MILLISECONDS: milliseconds}
    given = {by: frozen(value) for by, value in asked.items() if value is not None}
    if len(given) > 1:
        names = " and ".join(f"{by}=" for by in given)
        raise ValueError(f"prune_channels: give flops=, weights= or milliseconds=; received both {names}.")
    if (MILLISECONDS in given) != (x is not None):
        raise ValueError(
            "prune_channels: milliseconds= and x= go together: x is the batch of inputs whose prediction is "
            "to take so long."
        )
    ((by, wanted),) = (given or _HALF).items()
    number = wanted if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) else math.nan
    if by == MILLISECONDS and not 0 < number < math.inf:
        raise ValueError(f"prune_channels: milliseconds must be above 0; received {wanted!r}.")
    if by != MILLISECONDS and not 0 < number < 1:
        raise ValueError(
            f"prune_channels: {by} is the share that is to be left, between 0 and 1; received {wanted!r}."
        )
    return by, float(number)
