"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.adapters import Adapters
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.branching import Branching
from mtlkeras.sharing.cross_stitch import CrossStitch
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE
from mtlkeras.sharing.mtan import MTAN
from mtlkeras.sharing.ple import PLE
from mtlkeras.sharing.sluice import Sluice
from mtlkeras.sharing.soft import SoftSharing

__all__ = [
    "MTAN",
    "PLE",
    "Adapters",
    "Branching",
    "CrossStitch",
    "HardSharing",
    "MMoE",
    "Shared",
    "Sharing",
    "Sluice",
    "SoftSharing",
]
