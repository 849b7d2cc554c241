"""Every sharing scheme, with the smallest fields at which it shows what it does."""

from mtlkeras.sharing import MTAN, Adapters, HardSharing, MMoE

SCHEMES = [
    HardSharing(),
    MMoE(experts=2),
    MTAN(reduction=2),
    Adapters(units=2),
    Adapters(units=2, kind="low_rank", frozen=True),
]
