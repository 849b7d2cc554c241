"""Metrics that Keras lacks in a form for class indices, sequences, missing labels and several heads."""

from mtlkeras.metrics.auc import BinaryAUC
from mtlkeras.metrics.boundary import BoundaryF1
from mtlkeras.metrics.classes import ClassScore
from mtlkeras.metrics.entities import EntityScore
from mtlkeras.metrics.exact_match import ExactMatch
from mtlkeras.metrics.f1 import MacroF1
from mtlkeras.metrics.hamming import HammingLoss
from mtlkeras.metrics.iou import MeanIoU
from mtlkeras.metrics.joint_log_likelihood import JointLogLikelihood
from mtlkeras.metrics.labels import LabelMatch, LabelScore
from mtlkeras.metrics.log_loss import LogLoss
from mtlkeras.metrics.ordinal import OrdinalAccuracy, OrdinalError, OrdinalScore, QuadraticKappa
from mtlkeras.metrics.overlap import MaskOverlap, Overlap
from mtlkeras.metrics.r2 import R2, PixelR2
from mtlkeras.metrics.ranking import RankScore
from mtlkeras.metrics.tokens import TokenAccuracy

__all__ = [
    "R2",
    "BinaryAUC",
    "BoundaryF1",
    "ClassScore",
    "EntityScore",
    "ExactMatch",
    "HammingLoss",
    "JointLogLikelihood",
    "LabelMatch",
    "LabelScore",
    "LogLoss",
    "MacroF1",
    "MaskOverlap",
    "MeanIoU",
    "OrdinalAccuracy",
    "OrdinalError",
    "OrdinalScore",
    "Overlap",
    "PixelR2",
    "QuadraticKappa",
    "RankScore",
    "TokenAccuracy",
]
