"""Dependences: how the answers to several tasks hang together."""

from mtlkeras.dependence.base import Dependence, DependentScores
from mtlkeras.dependence.task_chain import TaskChain

__all__ = ["Dependence", "DependentScores", "TaskChain"]
