"""Every sharing scheme, with the smallest fields at which it shows what it does."""

from mtlkeras.sharing import Branching, CrossStitch, HardSharing, MMoE, Sluice, SoftSharing

SCHEMES = [
    HardSharing(),
    MMoE(experts=2),
    CrossStitch(),
    Sluice(),
    SoftSharing("trace_norm", strength=1e-2),
    Branching(at="conv"),
]
