"""The best paths through a chain (Viterbi 1967)."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backends import scan
from mtlkeras.layers._chain.compact import Compact
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, after_first, int32, time_major

# So many ways are compared at once: XLA is slow with more, TensorFlow without it with fewer.
_AT_ONCE = 10


def best_paths(chain: Chain, places: Compact, k: int = 1) -> tuple[Any, Any]:
    """Returns the k paths of the highest scores, best first.

    Args:
        chain: The potentials, in float32; `IMPOSSIBLE` forbids.
        places: The steps that exist.
        k: How many. Where a sequence has fewer paths, the last have scores of about `IMPOSSIBLE`.

    Returns:
        States, int32 of shape `(batch, k, time)` with 0 where there is no step, and scores, float32
        of shape `(batch, k)`.
    """
    # A way is a state and a rank, numbered `state * k + rank`: one of the k best ways to be there.
    scores = _scores_of_ways(chain, places, k)
    last = int32(ops.maximum(places.lengths - 1, 0))
    ends = ops.take_along_axis(scores, last[None, None, :], axis=0)[0] + ops.repeat(chain.end, k)[:, None]
    totals, way = _top(ops.transpose(ends), k)
    traced = _traced_best if k == 1 else _traced
    ways = traced(chain.transitions, scores, way, places.lengths)
    path = places.open(time_major(ways) // k)
    path = int32(ops.where(places.mask[:, :, None], path, 0))
    empty = ops.convert_to_tensor([0.0] + [IMPOSSIBLE] * (k - 1), "float32")  # One path: that of no steps.
    return ops.transpose(path, (0, 2, 1)), ops.where((places.lengths > 0)[:, None], totals, empty)


def _scores_of_ways(chain: Chain, places: Compact, k: int) -> Any:
    """Returns the score of each way at each step, shape `(time, ways, batch)`."""
    # The batch comes last here, so that all that is compared lies in rows of its length.
    emissions = ops.transpose(places.close(chain.emissions), (1, 2, 0))
    first = (chain.start[:, None] + emissions[0])[:, None, :]  # One way only at first.
    first = ops.concatenate([first] + [ops.full_like(first, IMPOSSIBLE)] * (k - 1), axis=1)
    ways = chain.transitions.shape[0] * k
    into = ops.repeat(chain.transitions, k, axis=0)[:, :, None]

    def step(before: Any, emission: Any) -> Any:
        new = _best_into_each(before, into, k) + emission[:, None, :]
        return ops.reshape(ops.maximum(new, IMPOSSIBLE), (ways, -1)), before

    return scan(step, ops.reshape(first, (ways, -1)), after_first(emissions))[1]


def _best_into_each(before: Any, into: Any, k: int) -> Any:
    """Returns the scores of the k best ways into each state, `(states, k, batch)`.

    Args:
        before: Scores of the ways that lead there, shape `(ways, batch)`.
        into: What each adds if it goes on to a state, shape `(ways, states, 1)`.
        k: How many.
    """
    if k > 1:
        return ops.transpose(_top(ops.transpose(before[:, None] + into, (1, 2, 0)), k)[0], (0, 2, 1))
    best = None
    for begin in range(0, into.shape[0], _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        found = ops.max(before[some, None] + into[some], axis=0)
        best = found if best is None else ops.maximum(best, found)
    return ops.expand_dims(best, 1)


def _traced_best(transitions: Any, scores: Any, way: Any, lengths: Any) -> Any:
    """Returns the ways that lead to given last ones, shape `(time, batch, 1)`, where each state has one.

    Where a way came from is sought again on the way back, along one path, which costs less than to
    note it down for all. A sequence stays as it is past its length.
    """
    count = transitions.shape[0]
    states = ops.arange(count, dtype="int32")[:, None]

    def step(way: Any, entry: Any) -> Any:
        before, number = entry
        totals = ops.take(transitions, way, axis=1) + before
        # The first of the largest. XLA computes two reductions faster than its argmax.
        is_best = ops.equal(totals, ops.max(totals, axis=0, keepdims=True))
        origin = int32(ops.min(ops.where(is_best, states, count - 1), axis=0))
        way = ops.where(number < lengths, origin, way)
        return way, way

    return scan(step, way[:, 0], (scores, _numbers_of_origins(scores)), reverse=True)[1][..., None]


def _traced(transitions: Any, scores: Any, way: Any, lengths: Any) -> Any:
    """Does the same for several ways into each state; shape `(time, batch, k)`."""
    k = way.shape[1]
    into = ops.repeat(ops.transpose(transitions), k, axis=1)
    ranks = ops.arange(k, dtype="int32")

    def step(way: Any, entry: Any) -> Any:
        before, number = entry
        origins = _top(ops.take(into, way // k, axis=0) + before[:, None], k)[1]
        # The way of rank r into a state came by the r-th of its origins.
        origin = int32(ops.sum(ops.where(ops.equal((way % k)[:, :, None], ranks), origins, 0), axis=2))
        way = ops.where((number < lengths)[:, None], origin, way)
        return way, way

    entries = ops.transpose(scores, (0, 2, 1)), _numbers_of_origins(scores)
    return scan(step, way, entries, reverse=True)[1]


def _numbers_of_origins(scores: Any) -> Any:
    """Returns for each step the number of the one that it leads to."""
    return ops.arange(1, ops.shape(scores)[0] + 1, dtype="int32")


def _top(x: Any, k: int) -> tuple[Any, Any]:
    """Returns the k largest of the last axis, and where they are."""
    if k == 1:  # Faster than the general form, for it is what nearly all ask for.
        return ops.max(x, axis=-1, keepdims=True), ops.cast(ops.argmax(x, axis=-1), "int32")[..., None]
    values, places = ops.top_k(x, k)
    return values, ops.cast(places, "int32")
