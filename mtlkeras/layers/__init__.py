"""Layers that models are made of."""

from mtlkeras.layers.crf import CRF
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.layers.grouped import GroupedConv2D
from mtlkeras.layers.local_response import LocalResponseNormalization
from mtlkeras.layers.output import OrdinalOutput, RegressionOutput, TaskOutput
from mtlkeras.layers.preprocessing import CategoryIndex, ImagePreprocessing
from mtlkeras.layers.trunk_output import TrunkOutput

__all__ = [
    "CRF",
    "CategoryIndex",
    "GradientFork",
    "GroupedConv2D",
    "ImagePreprocessing",
    "LocalResponseNormalization",
    "OrdinalOutput",
    "RegressionOutput",
    "TaskOutput",
    "TrunkOutput",
]
