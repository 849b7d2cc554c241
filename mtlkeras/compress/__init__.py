"""Smaller models of the same tasks."""

from mtlkeras.compress._size import flops_by_layer
from mtlkeras.compress.compare import Comparison, compare
from mtlkeras.compress.factorize import factorize
from mtlkeras.compress.fold_normalization import fold_normalization
from mtlkeras.compress.prune import prunable, prune_channels
from mtlkeras.compress.quantize import quantizable, quantize

__all__ = [
    "Comparison",
    "compare",
    "factorize",
    "flops_by_layer",
    "fold_normalization",
    "prunable",
    "prune_channels",
    "quantizable",
    "quantize",
]
