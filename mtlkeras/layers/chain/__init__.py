"""Recursions over a linear chain of states, shared by the CRF and the HMM.

Potentials are unnormalised log scores: `emissions` (batch, time, states), `transitions`
(from, to), `start` and `end` (states,), all float32. A mask (batch, time) tells which steps
exist: the others are left out as if the sequence were closed up, wherever they are.
"""

from mtlkeras.layers.chain.compact import Compact, compact
from mtlkeras.layers.chain.partition import IMPOSSIBLE, Chain, expectations, log_partition
from mtlkeras.layers.chain.score import path_score
from mtlkeras.layers.chain.viterbi import best_paths

__all__ = [
    "IMPOSSIBLE",
    "Chain",
    "Compact",
    "best_paths",
    "compact",
    "expectations",
    "log_partition",
    "path_score",
]
