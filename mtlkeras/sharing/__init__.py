"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE
from mtlkeras.sharing.ple import PLE

__all__ = ["HardSharing", "MMoE", "PLE", "Shared", "Sharing"]
