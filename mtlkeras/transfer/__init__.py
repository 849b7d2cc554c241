"""From one model to another."""

from mtlkeras.transfer.copy_weights import copy_weights
from mtlkeras.transfer.l2sp import L2SP
from mtlkeras.transfer.reuse_trunk import reuse_trunk

__all__ = ["L2SP", "copy_weights", "reuse_trunk"]
