"""From one model to another."""

from mtlkeras.transfer.copy_weights import copy_weights

__all__ = ["copy_weights"]
