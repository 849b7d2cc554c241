"""The log-partition of a chain, with the marginals as its gradient.

The recursions run in one of two forms. Where no potential is far below the others they work on
probabilities, scaled in each step, so that a step is one product of matrices. With
`s = range of the emissions in a step` and `r = range of the transitions, start and end scores`,
no state's forward probability is below `exp(-(s + r))` of the largest, and no backward one below
`exp(-r)`: for `s + r < 80` and `r < 35` float32 holds all of them, and what is lost to rounding is
no more than in any sum. Everywhere else, as with forbidden transitions, they work on logarithms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from mtlkeras._backend import scan
from mtlkeras.layers.chain.compact import Compact

IMPOSSIBLE = -1e30
"""The score of what cannot be; finite, as sums of infinities are no numbers."""

_LARGEST_RANGE, _LARGEST_TRANSITION_RANGE = 80.0, 35.0


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


def log_partition(chain: Chain, places: Compact) -> Any:
    """Returns the log of the summed exponentials of all paths' scores.

    Its gradient is computed by the forward-backward recursions and not by differentiating them.

    Args:
        chain: The potentials, in float32.
        places: The steps that exist.

    Returns:
        Shape `(batch,)`; 0 for a sequence without steps.
    """

    @ops.custom_gradient
    def compute(emissions: Any, transitions: Any, start: Any, end: Any) -> Any:
        given = Chain(emissions, transitions, start, end)
        closed = _closed(given, places)
        is_safe = _fits_probabilities(closed, places)
        total, forward = ops.cond(
            is_safe,
            lambda: _forward_probabilities(closed, places),
            lambda: _forward_logs(closed, places),
        )

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            found = ops.cond(
                is_safe,
                lambda: tuple(_backward_probabilities(closed, places, forward, upstream)),
                lambda: tuple(_backward_logs(closed, places, forward, total, upstream)),
            )
            return (places.open(found[0]), *found[1:])

        return total, gradient

    return compute(*chain)


def expectations(chain: Chain, places: Compact, weights: Any = None) -> Expectations:
    """Returns the expected states and transitions of each sequence, times its weight.

    Args:
        chain: The potentials, in float32.
        places: The steps that exist.
        weights: Shape `(batch,)`; 1 unless told.
    """
    closed = _closed(chain, places)
    if weights is None:
        weights = ops.ones_like(closed.emissions[:, 0, 0])

    def by_probabilities() -> Any:
        return tuple(
            _backward_probabilities(closed, places, _forward_probabilities(closed, places)[1], weights)
        )

    def by_logs() -> Any:
        total, forward = _forward_logs(closed, places)
        return tuple(_backward_logs(closed, places, forward, total, weights))

    found = ops.cond(_fits_probabilities(closed, places), by_probabilities, by_logs)
    return Expectations(places.open(found[0]), *found[1:])


def _closed(chain: Chain, places: Compact) -> Chain:
    """Returns the chain with its steps closed up; the rest of a row is zero, so that it is finite."""
    emissions = ops.where(places.mask[:, :, None], chain.emissions, 0.0)
    return chain._replace(emissions=places.close(emissions))


def _fits_probabilities(chain: Chain, places: Compact) -> Any:
    step = ops.max(ops.max(chain.emissions, axis=-1) - ops.min(chain.emissions, axis=-1))
    pair = _range(chain.transitions) + _range(chain.start) + _range(chain.end)
    return ops.logical_and(step + pair < _LARGEST_RANGE, pair < _LARGEST_TRANSITION_RANGE)


def _range(x: Any) -> Any:
    return ops.max(x) - ops.min(x)


def _time_major(x: Any) -> Any:
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def _steps(places: Compact) -> Any:
    return ops.arange(ops.shape(places.mask)[1], dtype="int32")


def _at_last(x: Any, places: Compact) -> Any:
    """Returns `(batch, ...)`: the entries of `(time, batch, ...)` at the last step of each sequence."""
    last = ops.maximum(places.lengths - 1, 0)
    index = ops.reshape(last, (1, -1, *[1] * (len(x.shape) - 2)))
    return ops.take_along_axis(x, index, axis=0)[0]


def _not_empty(x: Any, places: Compact) -> Any:
    return ops.where(places.lengths > 0, x, 0.0)


# On probabilities. Forward values are scaled to a sum of 1 in each step.


def _exponentials(chain: Chain) -> tuple[Any, Any, Any, Any, Any]:
    """Returns exponentials of the potentials with 1 as the largest, and the emissions' largest."""
    top = ops.max(chain.emissions, axis=-1)
    return (
        _time_major(ops.exp(chain.emissions - top[:, :, None])),
        ops.exp(chain.transitions - ops.max(chain.transitions)),
        ops.exp(chain.start - ops.max(chain.start)),
        ops.exp(chain.end - ops.max(chain.end)),
        top,
    )


def _forward_probabilities(chain: Chain, places: Compact) -> tuple[Any, Any]:
    emissions, transitions, start, end, top = _exponentials(chain)
    first = start[None, :] * emissions[0]
    first_sum = ops.sum(first, axis=-1, keepdims=True)

    def step(before: Any, emission: Any) -> Any:
        new = ops.matmul(before, transitions) * emission
        size = ops.sum(new, axis=-1, keepdims=True)
        new = new / size
        return new, (new, size[:, 0])

    _, (rest, sizes) = scan(step, first / first_sum, emissions[1:])
    forward = ops.concatenate([(first / first_sum)[None], rest])
    there = _steps(places)[:, None] < places.lengths[None, :]
    logs = ops.log(ops.concatenate([first_sum[None, :, 0], sizes])) + _time_major(top)
    total = ops.sum(ops.where(there, logs, 0.0), axis=0)
    total = total + ops.log(ops.sum(_at_last(forward, places) * end, axis=-1)) + ops.max(chain.end)
    total = total + ops.max(chain.start)
    total = total + ops.cast(places.lengths - 1, "float32") * ops.max(chain.transitions)
    return _not_empty(total, places), forward


def _backward_probabilities(chain: Chain, places: Compact, forward: Any, weights: Any) -> Expectations:
    emissions, transitions, _, end, _ = _exponentials(chain)
    end = ops.broadcast_to(end[None, :], ops.shape(forward[0]))
    back = ops.transpose(transitions)

    def step(after: Any, entry: Any) -> Any:
        # `after`: the backward values that hold at this step, unless it is the last.
        emission, is_last = entry
        here = ops.where(is_last[:, None], end, after)
        joint = emission * here
        before = ops.matmul(joint / ops.sum(joint, axis=-1, keepdims=True), back)
        return before, (here, joint)

    is_last = ops.equal(_steps(places)[:, None], places.lengths[None, :] - 1)
    _, (backward, joint) = scan(step, end, (emissions, is_last), reverse=True)
    there = _steps(places)[:, None] < places.lengths[None, :]
    states = forward * backward
    scale = ops.where(there, weights[None, :] / ops.sum(states, axis=-1), 0.0)
    states = states * scale[:, :, None]
    # The product of forward before, transition, emission and backward, scaled to sum to 1.
    arriving = joint[1:]
    size = ops.sum(ops.matmul(forward[:-1], transitions) * arriving, axis=-1)
    arriving = arriving * ops.where(there[1:], weights[None, :] / size, 0.0)[:, :, None]
    count = chain.transitions.shape[0]
    pairs = transitions * ops.matmul(
        ops.transpose(ops.reshape(forward[:-1], (-1, count))), ops.reshape(arriving, (-1, count))
    )
    return _expected(states, pairs, places)


def _expected(states: Any, pairs: Any, places: Compact) -> Expectations:
    last = ops.where((places.lengths > 0)[:, None], _at_last(states, places), 0.0)
    return Expectations(_time_major(states), pairs, ops.sum(states[0], axis=0), ops.sum(last, axis=0))


# On logarithms.


def _forward_logs(chain: Chain, places: Compact) -> tuple[Any, Any]:
    emissions = _time_major(chain.emissions)

    def step(before: Any, emission: Any) -> Any:
        new = ops.logsumexp(before[:, :, None] + chain.transitions[None], axis=1) + emission
        return new, new

    first = chain.start[None, :] + emissions[0]
    _, rest = scan(step, first, emissions[1:])
    forward = ops.concatenate([first[None], rest])
    total = ops.logsumexp(_at_last(forward, places) + chain.end[None, :], axis=-1)
    return _not_empty(total, places), forward


def _backward_logs(chain: Chain, places: Compact, forward: Any, total: Any, weights: Any) -> Expectations:
    emissions = _time_major(chain.emissions)
    end = ops.broadcast_to(chain.end[None, :], ops.shape(forward[0]))
    there = _steps(places)[:, None] < places.lengths[None, :]
    # A sequence whose every path is impossible has no expectations.
    weights = ops.where(total > IMPOSSIBLE / 2, weights, 0.0)

    def step(carry: Any, entry: Any) -> Any:
        after, pairs = carry
        emission, before_here, is_last, has_pair = entry
        here = ops.where(is_last[:, None], end, after)
        joint = chain.transitions[None] + (emission + here)[:, None, :]
        seen = ops.exp(ops.minimum(before_here[:, :, None] + joint - total[:, None, None], 0.0))
        pairs = pairs + ops.sum(seen * ops.where(has_pair, weights, 0.0)[:, None, None], axis=0)
        return (ops.logsumexp(joint, axis=2), pairs), here

    is_last = ops.equal(_steps(places)[:, None], places.lengths[None, :] - 1)
    has_pair = ops.logical_and(there, _steps(places)[:, None] > 0)
    before = ops.concatenate([forward[:1], forward[:-1]])
    (_, pairs), backward = scan(
        step,
        (end, ops.zeros_like(chain.transitions)),
        (emissions, before, is_last, has_pair),
        reverse=True,
    )
    states = ops.exp(ops.minimum(forward + backward - total[None, :, None], 0.0))
    states = states * ops.where(there, weights[None, :], 0.0)[:, :, None]
    return _expected(states, pairs, places)
