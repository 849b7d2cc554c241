"""Layers that models are made of."""

from mtlkeras.layers.output import OrdinalOutput, RegressionOutput, TaskOutput
from mtlkeras.layers.trunk_output import TrunkOutput

__all__ = ["OrdinalOutput", "RegressionOutput", "TaskOutput", "TrunkOutput"]
