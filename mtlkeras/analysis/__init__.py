"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.affinity import task_affinity
from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.calibration import Calibration, calibration, calibration_by_task
from mtlkeras.analysis.cka import cka
from mtlkeras.analysis.confusion import Confusion, confusion, confusion_by_task
from mtlkeras.analysis.delta_m import delta_m
from mtlkeras.analysis.examples import PairedDifference, example_scores, paired_difference
from mtlkeras.analysis.explanation import Explanation
from mtlkeras.analysis.gates import gates
from mtlkeras.analysis.gradient_cosines import GradientCosines
from mtlkeras.analysis.gradients import TaskGradients, gradient_cosines
from mtlkeras.analysis.group_tasks import TaskGroups, group_tasks
from mtlkeras.analysis.h_score import h_score
from mtlkeras.analysis.integrated_gradients import integrated_gradients
from mtlkeras.analysis.jackknife import jackknife_scores
from mtlkeras.analysis.label_association import LabelAssociation, label_association
from mtlkeras.analysis.logme import logme
from mtlkeras.analysis.occlusion import occlusion
from mtlkeras.analysis.regularisation import (
    RegularisationEfficiency,
    SweepCurve,
    regularisation_efficiency,
)
from mtlkeras.analysis.representation_similarity import representation_similarity
from mtlkeras.analysis.slices import SliceScores, scores_by_slice
from mtlkeras.analysis.task_matrix import TaskMatrix
from mtlkeras.analysis.temperature import scale_temperature
from mtlkeras.analysis.transferability import Transferability, transferability
from mtlkeras.analysis.worst_errors import WorstErrors, worst_errors

__all__ = [
    "Calibration",
    "Confusion",
    "Explanation",
    "GradientCosines",
    "LabelAssociation",
    "PairedDifference",
    "RegularisationEfficiency",
    "SliceScores",
    "SweepCurve",
    "TaskGradients",
    "TaskGroups",
    "TaskMatrix",
    "Transferability",
    "WorstErrors",
    "attention_weights",
    "calibration",
    "calibration_by_task",
    "cka",
    "confusion",
    "confusion_by_task",
    "delta_m",
    "example_scores",
    "gates",
    "gradient_cosines",
    "group_tasks",
    "h_score",
    "integrated_gradients",
    "jackknife_scores",
    "label_association",
    "logme",
    "occlusion",
    "paired_difference",
    "regularisation_efficiency",
    "representation_similarity",
    "scale_temperature",
    "scores_by_slice",
    "task_affinity",
    "transferability",
    "worst_errors",
]
