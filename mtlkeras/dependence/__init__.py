"""Dependences: how the answers to several tasks hang together."""

from mtlkeras.dependence.base import Dependence, DependentScores

__all__ = ["Dependence", "DependentScores"]
