"""Searching hyperparameters with KerasTuner: objectives over several tasks, spaces, limits."""

from mtlkeras.tuning.limits import count_flops
from mtlkeras.tuning.objective import objective
from mtlkeras.tuning.score import MultiTaskScore, multi_task_objective
from mtlkeras.tuning.space import choose
from mtlkeras.tuning.within import within_limits

__all__ = [
    "MultiTaskScore",
    "choose",
    "count_flops",
    "multi_task_objective",
    "objective",
    "within_limits",
]
