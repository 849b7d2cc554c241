"""A hyperparameter whose best value lies where the search ended."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

from mtlkeras._app.checks.check import NOTE, Check
from mtlkeras._app.checks.facts import Finding, RunFacts

NEAR, LOG_FROM, FEWEST = 0.01, 100.0, 3

EDGE = Check(
    "MTL009",
    "Hyperparameter at the edge of its search",
    f"The best value is the least or largest of {FEWEST} or more numbers, or within {NEAR:.0%} of an end of "
    "its range; the least value 0 is no edge. A note.",
)


def hyperparameter_at_edge(facts: RunFacts) -> Iterator[Finding]:
    """Finds hyperparameters whose best value may lie beyond what was tried.

    Of two choices each is at an edge, so three are the fewest. Ranges whose ends are a factor of 100 or more
    apart are measured in logarithms, as they are searched. Rates, penalties and counts cannot go below 0.
    """
    search = facts.search
    if search is None:
        return
    for name, best in search.best.items():
        if not _is_number(best):
            continue
        end = _end_of_choices(best, search.choices.get(name, ())) or _end_of_range(
            best, search.bounds.get(name)
        )
        if end is not None:
            yield EDGE.finding(
                None,
                f"The best {name} is {best:g}, and {end}.",
                f"Search on beyond {best:g}, with the other hyperparameters held where they are.",
                NOTE,
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _end_of_choices(best: float, choices: Sequence[Any]) -> str | None:
    found = sorted({float(value) for value in choices if _is_number(value)})
    if len(found) < FEWEST or len(found) < len(set(choices)):
        return None
    if best == found[-1]:
        return f"no value above {found[-1]:g} was tried"
    return f"no value below {found[0]:g} was tried" if best == found[0] != 0 else None


def _end_of_range(best: float, bounds: tuple[float, float] | None) -> str | None:
    if bounds is None or not bounds[0] < bounds[1]:
        return None
    low, high = map(float, bounds)
    place = (best - low) / (high - low)
    if low > 0 and high / low >= LOG_FROM and best > 0:
        place = math.log(best / low) / math.log(high / low)
    if place >= 1 - NEAR:
        return f"the range ended at {high:g}"
    return f"the range began at {low:g}" if place <= NEAR and low != 0 else None
