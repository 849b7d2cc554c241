"""The best paths through a chain (Viterbi 1967)."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backends import scan
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, after_first, int32, time_major

# So many hypotheses are compared at once: XLA is slow with more, TensorFlow without it with fewer.
_AT_ONCE = 10


def best_paths(chain: Chain, packing: Packing, k: int = 1) -> tuple[Any, Any]:
    """Returns the k paths of the highest scores, best first.

    Args:
        chain: The potentials, in float32; `IMPOSSIBLE` forbids.
        packing: The steps that exist.
        k: How many. Where a sequence has fewer paths, the last have scores of about `IMPOSSIBLE`.

    Returns:
        States, int32 of shape `(batch, k, time)` with 0 where there is no step, and scores, float32
        of shape `(batch, k)`.
    """
    # A hypothesis is one of the k best partial paths that end in a state, numbered `state * k + rank`
    # (the list Viterbi algorithm, Seshadri and Sundberg 1994).
    scores = _hypothesis_scores(chain, packing, k)
    last = int32(ops.maximum(packing.lengths - 1, 0))
    at_end = ops.take_along_axis(scores, last[None, None, :], axis=0)[0] + ops.repeat(chain.end, k)[:, None]
    totals, final = _top(ops.transpose(at_end), k)
    backtrack = _backtrack_best if k == 1 else _backtrack
    hypotheses = backtrack(chain.transitions, scores, final, packing.lengths)
    path = packing.unpack(time_major(hypotheses) // k)
    path = int32(ops.where(packing.mask[:, :, None], path, 0))
    empty = ops.convert_to_tensor([0.0] + [IMPOSSIBLE] * (k - 1), "float32")  # One path: that of no steps.
    return ops.transpose(path, (0, 2, 1)), ops.where((packing.lengths > 0)[:, None], totals, empty)


def _hypothesis_scores(chain: Chain, packing: Packing, k: int) -> Any:
    """Returns the score of each hypothesis at each step, shape `(time, hypotheses, batch)`."""
    # The batch comes last here, so that all that is compared lies in rows of its length.
    emissions = ops.transpose(packing.pack(chain.emissions), (1, 2, 0))
    first = (chain.start[:, None] + emissions[0])[:, None, :]  # One hypothesis a state only at first.
    first = ops.concatenate([first] + [ops.full_like(first, IMPOSSIBLE)] * (k - 1), axis=1)
    hypotheses = chain.transitions.shape[0] * k
    transitions = ops.repeat(chain.transitions, k, axis=0)[:, :, None]

    def step(before: Any, emission: Any) -> Any:
        new = _best_into_each(before, transitions, k) + emission[:, None, :]
        return ops.reshape(ops.maximum(new, IMPOSSIBLE), (hypotheses, -1)), before

    return scan(step, ops.reshape(first, (hypotheses, -1)), after_first(emissions))[1]


def _best_into_each(before: Any, transitions: Any, k: int) -> Any:
    """Returns the scores of the k best hypotheses of each state, `(states, k, batch)`.

    Args:
        before: Scores of the hypotheses that they come from, shape `(hypotheses, batch)`.
        transitions: What each adds if it goes on to a state, shape `(hypotheses, states, 1)`.
        k: How many.
    """
    if k > 1:
        return ops.transpose(_top(ops.transpose(before[:, None] + transitions, (1, 2, 0)), k)[0], (0, 2, 1))
    best = None
    for begin in range(0, transitions.shape[0], _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        found = ops.max(before[some, None] + transitions[some], axis=0)
        best = found if best is None else ops.maximum(best, found)
    return ops.expand_dims(best, 1)


def _backtrack_best(transitions: Any, scores: Any, final: Any, lengths: Any) -> Any:
    """Returns the states that lead to given last ones, shape `(time, batch, 1)`: k is 1.

    A back-pointer is sought again on the way back, along one path, which costs less than to note it
    down for all. A sequence stays as it is past its length.
    """
    count = transitions.shape[0]
    states = ops.arange(count, dtype="int32")[:, None]

    def step(state: Any, entry: Any) -> Any:
        before, position = entry
        totals = ops.take(transitions, state, axis=1) + before
        # The first of the largest. XLA computes two reductions faster than its argmax.
        is_best = ops.equal(totals, ops.max(totals, axis=0, keepdims=True))
        back_pointer = int32(ops.min(ops.where(is_best, states, count - 1), axis=0))
        state = ops.where(position < lengths, back_pointer, state)
        return state, state

    return scan(step, final[:, 0], (scores, _next_positions(scores)), reverse=True)[1][..., None]


def _backtrack(transitions: Any, scores: Any, final: Any, lengths: Any) -> Any:
    """Does the same for several hypotheses of each state; shape `(time, batch, k)`."""
    k = final.shape[1]
    transitions = ops.repeat(ops.transpose(transitions), k, axis=1)
    ranks = ops.arange(k, dtype="int32")

    def step(hypothesis: Any, entry: Any) -> Any:
        before, position = entry
        pointers = _top(ops.take(transitions, hypothesis // k, axis=0) + before[:, None], k)[1]
        # The hypothesis of rank r came from the r-th of what leads into its state.
        is_own = ops.equal((hypothesis % k)[:, :, None], ranks)
        back_pointer = int32(ops.sum(ops.where(is_own, pointers, 0), axis=2))
        hypothesis = ops.where((position < lengths)[:, None], back_pointer, hypothesis)
        return hypothesis, hypothesis

    entries = ops.transpose(scores, (0, 2, 1)), _next_positions(scores)
    return scan(step, final, entries, reverse=True)[1]


def _next_positions(scores: Any) -> Any:
    """Returns for each step the position of the one that it leads to."""
    return ops.arange(1, ops.shape(scores)[0] + 1, dtype="int32")


def _top(x: Any, k: int) -> tuple[Any, Any]:
    """Returns the k largest of the last axis, and where they are."""
    if k == 1:  # Faster than the general form, for it is what nearly all ask for.
        return ops.max(x, axis=-1, keepdims=True), ops.cast(ops.argmax(x, axis=-1), "int32")[..., None]
    values, positions = ops.top_k(x, k)
    return values, ops.cast(positions, "int32")
