"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.cka import cka
from mtlkeras.analysis.delta_m import delta_m
from mtlkeras.analysis.gates import gates
from mtlkeras.analysis.label_association import LabelAssociation, label_association
from mtlkeras.analysis.task_matrix import TaskMatrix

__all__ = [
    "LabelAssociation",
    "TaskMatrix",
    "attention_weights",
    "cka",
    "delta_m",
    "gates",
    "label_association",
]
