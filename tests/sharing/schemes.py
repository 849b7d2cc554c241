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
    """Returns a mark of what is slow: further specs of a scheme, one of parts of others, one in all tests."""
    first = next(other for other in SCHEMES if type(other) is type(scheme))
    seen_elsewhere = isinstance(scheme, (HardSharing, Sluice))
    return [pytest.mark.slow] if scheme is not first or seen_elsewhere else []
