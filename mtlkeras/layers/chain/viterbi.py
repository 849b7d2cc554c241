"""The best paths through a chain (Viterbi 1967)."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backend import scan
from mtlkeras.layers.chain.compact import Compact
from mtlkeras.layers.chain.potentials import IMPOSSIBLE, Chain, after_first


def best_paths(chain: Chain, places: Compact, k: int = 1) -> tuple[Any, Any]:
    """Returns the k paths of the highest scores, best first.

    Args:
        chain: The potentials, in float32.
        places: The steps that exist.
        k: How many. A sequence that has fewer paths repeats a score of about `IMPOSSIBLE`.

    Returns:
        States, int32 of shape `(batch, k, time)` with 0 where there is no step, and scores, float32
        of shape `(batch, k)`.
    """
    emissions = ops.transpose(
        places.close(ops.where(places.mask[:, :, None], chain.emissions, 0.0)), (1, 0, 2)
    )
    states = chain.transitions.shape[0]
    lengths = places.lengths

    # Scores (batch, state, rank): the k best ways to be in a state. One way only at first.
    first = (chain.start[None, :] + emissions[0])[:, :, None]
    nothing = ops.full_like(first, IMPOSSIBLE)
    first = ops.concatenate([first] + [nothing] * (k - 1), axis=2)
    steps = ops.arange(1, ops.shape(emissions)[0] + 1, dtype="int32")

    def forward(before: Any, entry: Any) -> Any:
        emission, number = entry
        ways = before[:, :, :, None] + chain.transitions[None, :, None, :]
        ways = ops.transpose(ops.reshape(ways, (-1, states * k, states)), (0, 2, 1))
        scores, origin = _top(ways, k)
        new = ops.maximum(scores + emission[:, :, None], IMPOSSIBLE)
        is_there = (number < lengths)[:, None, None]
        stay = ops.broadcast_to(
            ops.reshape(ops.arange(states * k, dtype="int32"), (1, states, k)), ops.shape(origin)
        )
        return ops.where(is_there, new, before), ops.where(is_there, origin, stay)

    last, origins = scan(forward, first, (after_first(emissions), steps))
    final = ops.reshape(last + chain.end[None, :, None], (-1, states * k))
    scores, way = _top(final, k)

    def backward(way: Any, origin: Any) -> Any:
        before = ops.take_along_axis(ops.reshape(origin, (-1, states * k)), way, axis=1)
        return before, before

    _, ways = scan(backward, way, origins, reverse=True)
    # A way is a state and a rank. Past its length a sequence stays where it was.
    path = places.open(ops.transpose(ways, (1, 0, 2)) // k)
    path = ops.where(places.mask[:, :, None], path, 0)
    empty = ops.convert_to_tensor([0.0] + [IMPOSSIBLE] * (k - 1))  # One path: that of no steps.
    return ops.transpose(path, (0, 2, 1)), ops.where((lengths > 0)[:, None], scores, empty)


def _top(x: Any, k: int) -> tuple[Any, Any]:
    """Returns the k largest of the last axis, and where they are."""
    if k == 1:  # As fast as can be, for it is what nearly all ask for.
        return ops.max(x, axis=-1, keepdims=True), ops.cast(ops.argmax(x, axis=-1), "int32")[..., None]
    values, places = ops.top_k(x, k)
    return values, ops.cast(places, "int32")
