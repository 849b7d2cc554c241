"""Forward and backward recursions on probabilities, scaled to a sum of 1 in each step.

Scaling as in Rabiner 1989, section V.A, with `alpha` and `beta` as there. See `partition` for when
this is exact.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backends import matmul, scan
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import Chain, Expectations, after_first, expectations_of, time_major


def forward(chain: Chain, packing: Packing) -> tuple[Any, Any]:
    """Returns the log-partition, `(batch,)`, and the forward probabilities, `(time, batch, states)`."""
    emissions, top = _emissions(chain)
    transitions, start, end = _exp(chain.transitions), _exp(chain.start), _exp(chain.end)

    def step(alpha: Any, emission: Any) -> Any:
        new = matmul(alpha, transitions) * emission
        return new / ops.sum(new, axis=-1, keepdims=True), new

    first = start[None, :] * emissions[0]
    _, rest = scan(step, first / ops.sum(first, axis=-1, keepdims=True), after_first(emissions))
    unscaled = ops.concatenate([first[None], rest[:-1]])
    scales = ops.sum(unscaled, axis=-1)
    alpha = unscaled / scales[:, :, None]
    total = ops.sum(ops.where(packing.step_mask(), ops.log(scales) + top, 0.0), axis=0)
    total = total + ops.log(ops.sum(packing.at_last(alpha) * end, axis=-1)) + ops.max(chain.end)
    total = total + ops.max(chain.start)
    total = total + ops.cast(packing.lengths - 1, "float32") * ops.max(chain.transitions)
    return ops.where(packing.lengths > 0, total, 0.0), alpha


def backward(chain: Chain, packing: Packing, alpha: Any, weights: Any) -> Expectations:
    """Returns the expectations, with states of shape `(batch, time, states)`.

    Args:
        chain: The potentials, packed.
        packing: The steps that exist.
        alpha: The forward probabilities.
        weights: Of each sequence, shape `(batch,)`.
    """
    emissions, _ = _emissions(chain)
    transitions = _exp(chain.transitions)
    end = ops.broadcast_to(_exp(chain.end)[None, :], ops.shape(alpha[0]))
    transposed = ops.transpose(transitions)

    def step(beta_before_last: Any, entry: Any) -> Any:
        emission, is_last = entry
        beta = ops.where(is_last[:, None], end, beta_before_last)
        message = emission * beta
        message = message / ops.sum(message, axis=-1, keepdims=True)
        return matmul(message, transposed), (beta, message)

    _, (beta, messages) = scan(step, end, (emissions, packing.is_last()), reverse=True)
    step_mask = packing.step_mask()
    states = alpha * beta
    scale = ops.where(step_mask, weights[None, :] / ops.sum(states, axis=-1), 0.0)
    states = states * scale[:, :, None]
    # The product of alpha before a transition, the transition, and emission and beta after it, scaled
    # to sum to 1. The product with the message is beta of the step before, as the recursion computes it.
    size = ops.sum(alpha[:-1] * matmul(messages[1:], transposed), axis=-1)
    arriving = messages[1:] * ops.where(step_mask[1:], weights[None, :] / size, 0.0)[:, :, None]
    count = chain.transitions.shape[0]
    pairs = transitions * matmul(
        ops.transpose(ops.reshape(alpha[:-1], (-1, count))), ops.reshape(arriving, (-1, count))
    )
    return expectations_of(states, pairs, packing)


def _exp(scores: Any) -> Any:
    """Returns exponentials with 1 as the largest."""
    return ops.exp(scores - ops.max(scores))


def _emissions(chain: Chain) -> tuple[Any, Any]:
    """Returns exponentials with 1 as the largest in each step, and the logs of the largest, time major."""
    emissions = time_major(chain.emissions)
    top = ops.max(emissions, axis=-1)
    return ops.exp(emissions - top[:, :, None]), top
