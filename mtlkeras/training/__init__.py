"""What goes on around a fit: keeping its state, and watching over it."""

from mtlkeras.training.backup import Backup
from mtlkeras.training.divergence import StopOnNonFinite
from mtlkeras.training.fast import StepTime, measure_steps
from mtlkeras.training.strategy import strategy

__all__ = ["Backup", "StepTime", "StopOnNonFinite", "measure_steps", "strategy"]
