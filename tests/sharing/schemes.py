"""Every sharing scheme, with the smallest fields at which it shows what it does."""

import pytest

from mtlkeras.sharing import (
    MTAN,
    PLE,
    Adapters,
    Branching,
    CrossStitch,
    HardSharing,
    MMoE,
    Sluice,
    SoftSharing,
)

SCHEMES = [
    HardSharing(),
    MMoE(experts=2),
    PLE(),
    CrossStitch(),
    Sluice(),
    MTAN(reduction=2),
    SoftSharing("trace_norm", strength=1e-2),
    Adapters(units=2),
    Adapters(units=2, kind="low_rank", frozen=True),
    Branching(at="conv"),
]


def marks_of(scheme):
    """Returns a mark for further specs of a scheme, and for one of the parts of others: they are slow."""
    first = next(other for other in SCHEMES if type(other) is type(scheme))
    return [] if scheme is first and not isinstance(scheme, Sluice) else [pytest.mark.slow]
