"""Paths of which some states are known."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.layers._chain.compact import Compact
from mtlkeras.layers._chain.partition import log_partition_if
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, int32
from mtlkeras.layers._chain.score import path_score


def clamped(chain: Chain, states: Any) -> Chain:
    """Returns the chain with all states impossible but the known.

    Args:
        chain: The potentials, in float32.
        states: Int32, shape `(batch, time)`; one below 0 is not known.
    """
    chosen = ops.one_hot(int32(ops.maximum(states, 0)), chain.transitions.shape[0], dtype="bool")
    fits = ops.logical_or((states < 0)[:, :, None], chosen)
    return chain._replace(emissions=ops.where(fits, chain.emissions, IMPOSSIBLE))


def known_score(chain: Chain, states: Any, places: Compact, needed: Any = True) -> Any:
    """Returns the log of the summed exponentials of the scores of all paths with the known states.

    Args:
        chain: The potentials, in float32.
        states: Int32, shape `(batch, time)`; one below 0 is not known.
        places: The steps that exist.
        needed: Scalar bool: where it does not hold, the sum over unknown states may be left out.
    """
    path = int32(ops.where(ops.logical_and(places.mask, states >= 0), states, 0))
    some_unknown = ops.any(ops.logical_and(places.mask, states < 0))
    summed = log_partition_if(ops.logical_and(some_unknown, needed), clamped(chain, states), places)
    return ops.where(some_unknown, summed, path_score(chain, path, places))
