"""Metrics that Keras lacks in a form for class indices, sequences, missing labels and several heads."""

from mtlkeras.metrics.auc import BinaryAUC
from mtlkeras.metrics.entities import EntityScore
from mtlkeras.metrics.exact_match import ExactMatch
from mtlkeras.metrics.f1 import MacroF1
from mtlkeras.metrics.ordinal import OrdinalAccuracy, OrdinalError
from mtlkeras.metrics.tokens import TokenAccuracy

__all__ = [
    "BinaryAUC",
    "EntityScore",
    "ExactMatch",
    "MacroF1",
    "OrdinalAccuracy",
    "OrdinalError",
    "TokenAccuracy",
]
