"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE

__all__ = ["HardSharing", "MMoE", "Shared", "Sharing"]
