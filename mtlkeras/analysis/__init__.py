"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.affinity import task_affinity
from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.examples import PairedDifference, example_scores, paired_difference
from mtlkeras.analysis.gates import gates
from mtlkeras.analysis.gradient_cosines import GradientCosines
from mtlkeras.analysis.gradients import TaskGradients, gradient_cosines

__all__ = [
    "GradientCosines",
    "PairedDifference",
    "TaskGradients",
    "attention_weights",
    "example_scores",
    "gates",
    "gradient_cosines",
    "paired_difference",
    "task_affinity",
]
