"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.branching import Branching
from mtlkeras.sharing.cross_stitch import CrossStitch
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE
from mtlkeras.sharing.sluice import Sluice
from mtlkeras.sharing.soft import SoftSharing

__all__ = [
    "Branching",
    "CrossStitch",
    "HardSharing",
    "MMoE",
    "Shared",
    "Sharing",
    "Sluice",
    "SoftSharing",
]
