"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.cka import cka
from mtlkeras.analysis.delta_m import delta_m
from mtlkeras.analysis.gates import gates
from mtlkeras.analysis.group_tasks import TaskGroups, group_tasks
from mtlkeras.analysis.h_score import h_score
from mtlkeras.analysis.label_association import LabelAssociation, label_association
from mtlkeras.analysis.logme import logme
from mtlkeras.analysis.representation_similarity import representation_similarity
from mtlkeras.analysis.task_matrix import TaskMatrix
from mtlkeras.analysis.transferability import Transferability, transferability

__all__ = [
    "LabelAssociation",
    "TaskGroups",
    "TaskMatrix",
    "Transferability",
    "attention_weights",
    "cka",
    "delta_m",
    "gates",
    "group_tasks",
    "h_score",
    "label_association",
    "logme",
    "representation_similarity",
    "transferability",
]
