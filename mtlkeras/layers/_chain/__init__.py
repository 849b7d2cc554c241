"""Recursions over a linear chain of states, shared by the CRF and the HMM.

Potentials are unnormalised log scores: `emissions` (batch, time, states), `transitions`
(from, to), `start` and `end` (states,), all float32 and finite. A mask (batch, time) tells which steps
exist: the others are left out as if the sequence were closed up, wherever they are.
"""

from mtlkeras.layers._chain.clamped import clamped, clamped_log_partition
from mtlkeras.layers._chain.inputs import (
    ChainInputs,
    read_observations,
    read_scores,
    read_states,
)
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.partition import expectations, log_partition, log_partition_if
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, Expectations, int32
from mtlkeras.layers._chain.score import path_score
from mtlkeras.layers._chain.values import (
    are_scores,
    as_int32,
    check_states,
    concrete_values,
    finite_scores,
)
from mtlkeras.layers._chain.viterbi import best_paths

__all__ = [
    "IMPOSSIBLE",
    "Chain",
    "Packing",
    "Expectations",
    "ChainInputs",
    "are_scores",
    "as_int32",
    "best_paths",
    "check_states",
    "clamped",
    "expectations",
    "finite_scores",
    "int32",
    "clamped_log_partition",
    "concrete_values",
    "log_partition",
    "log_partition_if",
    "path_score",
    "read_scores",
    "read_states",
    "read_observations",
]
