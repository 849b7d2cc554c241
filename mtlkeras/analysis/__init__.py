"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.affinity import task_affinity
from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.gates import gates
from mtlkeras.analysis.gradient_cosines import GradientCosines
from mtlkeras.analysis.gradients import TaskGradients, gradient_cosines

__all__ = [
    "GradientCosines",
    "TaskGradients",
    "attention_weights",
    "gates",
    "gradient_cosines",
    "task_affinity",
]
