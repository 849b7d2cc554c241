"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.adapters import Adapters
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE
from mtlkeras.sharing.mtan import MTAN

__all__ = ["MTAN", "Adapters", "HardSharing", "MMoE", "Shared", "Sharing"]
