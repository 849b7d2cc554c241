"""What a chain is made of, and helpers that its recursions share."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from mtlkeras.layers._chain.packing import Packing

IMPOSSIBLE = -1e30
"""The score of what cannot be; finite, as sums of infinities are no numbers."""


class Chain(NamedTuple):
    """The potentials of a chain; see the package."""

    emissions: Any
    transitions: Any
    start: Any
    end: Any


class Expectations(NamedTuple):
    """What the steps and pairs of a chain are expected to be, weighted by sequence.

    Args:
        states: Probability of each state at each step, shape `(batch, time, states)`, zero where
            there is no step.
        pairs: Expected number of transitions over all sequences, shape `(from, to)`.
        start: Expected number of first states, shape `(states,)`.
        end: Expected number of last states, shape `(states,)`.
    """

    states: Any
    pairs: Any
    start: Any
    end: Any


def packed(chain: Chain, packing: Packing) -> Chain:
    """Returns the chain with its steps packed; the rest of a row may have any finite scores."""
    return chain._replace(emissions=packing.pack(chain.emissions))


def int32(x: Any) -> Any:
    """Returns whole numbers as int32, for on JAX Keras makes floats of them if `floatx` is bfloat16."""
    return ops.cast(x, "int32")


def time_major(x: Any) -> Any:
    """Returns `(time, batch, ...)` for `(batch, time, ...)`, and the other way round."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def after_first(x: Any) -> Any:
    """Returns the entries of `(time, ...)` after the first, and one more that nobody may use.

    A scan along a single step would else have none, which TensorFlow's loops cannot stack.
    """
    return ops.concatenate([x[1:], x[:1]])


def expectations_of(states: Any, pairs: Any, packing: Packing) -> Expectations:
    """Returns expectations for states of shape `(time, batch, states)`."""
    last = ops.where((packing.lengths > 0)[:, None], packing.at_last(states), 0.0)
    return Expectations(time_major(states), pairs, ops.sum(states[0], axis=0), ops.sum(last, axis=0))
