"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.base import Sharing
from mtlkeras.sharing.hard import HardSharing

__all__ = ["HardSharing", "Sharing"]
