"""Sharing schemes: how tasks use the trunk."""

from mtlkeras.sharing.adapters import Adapters
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.sharing.hard import HardSharing
from mtlkeras.sharing.mmoe import MMoE
from mtlkeras.sharing.mtan import MTAN
from mtlkeras.sharing.ple import PLE

__all__ = ["MTAN", "PLE", "Adapters", "HardSharing", "MMoE", "Shared", "Sharing"]
