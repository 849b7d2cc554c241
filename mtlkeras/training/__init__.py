"""What goes on around a fit: in phases, keeping its state, and watching over it."""

from mtlkeras.training.backup import Backup
from mtlkeras.training.divergence import StopOnNonFinite
from mtlkeras.training.fast import StepTime, measure_steps
from mtlkeras.training.fit_phases import fit_phases
from mtlkeras.training.per_task_stopping import EarlyStoppingPerTask
from mtlkeras.training.phase import Phase
from mtlkeras.training.strategy import strategy

__all__ = [
    "Backup",
    "EarlyStoppingPerTask",
    "Phase",
    "StepTime",
    "StopOnNonFinite",
    "fit_phases",
    "measure_steps",
    "strategy",
]
