"""Forward and backward recursions on probabilities, scaled to a sum of 1 in each step.

Scaling as in Rabiner 1989, section V.A. See `partition` for when this is exact.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backends import matmul, scan
from mtlkeras.layers._chain.compact import Compact
from mtlkeras.layers._chain.potentials import (
    Chain,
    Expectations,
    after_first,
    at_last,
    expected,
    is_last,
    there,
    time_major,
)


def forward(chain: Chain, places: Compact) -> tuple[Any, Any]:
    """Returns the log-partition, `(batch,)`, and the forward probabilities, `(time, batch, states)`."""
    emissions, top = _emissions(chain)
    transitions, start, end = _exp(chain.transitions), _exp(chain.start), _exp(chain.end)

    def step(before: Any, emission: Any) -> Any:
        new = matmul(before, transitions) * emission
        return new / ops.sum(new, axis=-1, keepdims=True), new

    first = start[None, :] * emissions[0]
    _, rest = scan(step, first / ops.sum(first, axis=-1, keepdims=True), after_first(emissions))
    found = ops.concatenate([first[None], rest[:-1]])
    sizes = ops.sum(found, axis=-1)
    found = found / sizes[:, :, None]
    total = ops.sum(ops.where(there(places), ops.log(sizes) + top, 0.0), axis=0)
    total = total + ops.log(ops.sum(at_last(found, places) * end, axis=-1)) + ops.max(chain.end)
    total = total + ops.max(chain.start)
    total = total + ops.cast(places.lengths - 1, "float32") * ops.max(chain.transitions)
    return ops.where(places.lengths > 0, total, 0.0), found


def backward(chain: Chain, places: Compact, before: Any, weights: Any) -> Expectations:
    """Returns the expectations, with states of shape `(batch, time, states)`.

    Args:
        chain: The potentials, closed up.
        places: The steps that exist.
        before: What `forward` gave.
        weights: Of each sequence, shape `(batch,)`.
    """
    emissions, _ = _emissions(chain)
    transitions = _exp(chain.transitions)
    end = ops.broadcast_to(_exp(chain.end)[None, :], ops.shape(before[0]))
    back = ops.transpose(transitions)

    def step(after: Any, entry: Any) -> Any:
        # `after`: the backward values that hold at this step, unless it is the last.
        emission, ends = entry
        here = ops.where(ends[:, None], end, after)
        joint = emission * here
        joint = joint / ops.sum(joint, axis=-1, keepdims=True)
        return matmul(joint, back), (here, joint)

    _, (after, joint) = scan(step, end, (emissions, is_last(places)), reverse=True)
    exists = there(places)
    states = before * after
    scale = ops.where(exists, weights[None, :] / ops.sum(states, axis=-1), 0.0)
    states = states * scale[:, :, None]
    # The product of forward before, transition, emission and backward, scaled to sum to 1. What
    # arrives is the backward values of the step before, as the recursion computes them.
    size = ops.sum(before[:-1] * matmul(joint[1:], back), axis=-1)
    arriving = joint[1:] * ops.where(exists[1:], weights[None, :] / size, 0.0)[:, :, None]
    count = chain.transitions.shape[0]
    pairs = transitions * matmul(
        ops.transpose(ops.reshape(before[:-1], (-1, count))), ops.reshape(arriving, (-1, count))
    )
    return expected(states, pairs, places)


def _exp(scores: Any) -> Any:
    """Returns exponentials with 1 as the largest."""
    return ops.exp(scores - ops.max(scores))


def _emissions(chain: Chain) -> tuple[Any, Any]:
    """Returns exponentials with 1 as the largest in each step, and the logs of the largest, time major."""
    emissions = time_major(chain.emissions)
    top = ops.max(emissions, axis=-1)
    return ops.exp(emissions - top[:, :, None]), top
