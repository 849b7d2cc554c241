"""Metrics that Keras lacks in a form for class indices, missing labels and several heads."""

from mtlkeras.metrics.auc import BinaryAUC
from mtlkeras.metrics.f1 import MacroF1
from mtlkeras.metrics.ordinal import OrdinalAccuracy, OrdinalError

__all__ = ["BinaryAUC", "MacroF1", "OrdinalAccuracy", "OrdinalError"]
