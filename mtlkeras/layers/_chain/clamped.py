"""Paths of which some states are given: the others are summed out."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.partition import log_partition_if
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, int32
from mtlkeras.layers._chain.score import path_score


def clamped(chain: Chain, states: Any) -> Chain:
    """Returns the chain with all states impossible but those given.

    Args:
        chain: The potentials, in float32.
        states: Int32, shape `(batch, time)`; one below 0 is not given.
    """
    given = ops.one_hot(int32(ops.maximum(states, 0)), chain.transitions.shape[0], dtype="bool")
    fits = ops.logical_or((states < 0)[:, :, None], given)
    return chain._replace(emissions=ops.where(fits, chain.emissions, IMPOSSIBLE))


def clamped_log_partition(chain: Chain, states: Any, packing: Packing, needed: Any = True) -> Any:
    """Returns the log of the summed exponentials of the scores of all paths through the given states.

    Args:
        chain: The potentials, in float32.
        states: Int32, shape `(batch, time)`; one below 0 is not given.
        packing: The steps that exist.
        needed: Scalar bool: where it does not hold, the sum over missing states may be left out.
    """
    path = int32(ops.where(ops.logical_and(packing.mask, states >= 0), states, 0))
    some_missing = ops.any(ops.logical_and(packing.mask, states < 0))
    summed = log_partition_if(ops.logical_and(some_missing, needed), clamped(chain, states), packing)
    return ops.where(some_missing, summed, path_score(chain, path, packing))
