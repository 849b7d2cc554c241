"""What goes on around a fit: keeping its state, and watching over it."""

from mtlkeras.training.backup import Backup
from mtlkeras.training.divergence import StopOnNonFinite

__all__ = ["Backup", "StopOnNonFinite"]
