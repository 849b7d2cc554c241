"""The score of a given path."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import Chain, int32


def path_score(chain: Chain, states: Any, packing: Packing) -> Any:
    """Returns the score of one path for each sequence; 0 for one without steps.

    Args:
        chain: The potentials, in float32.
        states: Int32, shape `(batch, time)`; any valid state where there is no step.
        packing: The steps that exist.
    """
    count = chain.transitions.shape[0]
    emitted = ops.sum(ops.one_hot(states, count, dtype="float32") * chain.emissions, axis=-1)
    emitted = ops.sum(ops.where(packing.mask, emitted, 0.0), axis=1)
    path = packing.pack(states)
    steps = ops.arange(ops.shape(path)[1], dtype="int32")[None, :]
    pairs = path[:, :-1] * count + path[:, 1:]
    moved = ops.take(ops.reshape(chain.transitions, (-1,)), pairs)
    moved = ops.sum(ops.where(steps[:, 1:] < packing.lengths[:, None], moved, 0.0), axis=1)
    last = ops.take_along_axis(path, int32(ops.maximum(packing.lengths - 1, 0))[:, None], axis=1)[:, 0]
    ends = ops.take(chain.start, path[:, 0]) + ops.take(chain.end, last)
    return emitted + moved + ops.where(packing.lengths > 0, ends, 0.0)
