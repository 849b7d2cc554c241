"""Forward and backward recursions on numbers that each have an exponent of their own.

Logarithms in float32 would not do: at a score of 3000 they err by 1e-4, and by more in each step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import ops

from mtlkeras._backends import scan
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import Chain, Expectations, after_first, expectations_of, time_major

# Two parts of ln 2, the first of so few bits that its products with exponents are exact.
_LN2, _LN2_HIGH, _LN2_LOW = math.log(2.0), 355.0 / 512.0, math.log(2.0) - 355.0 / 512.0


class ExtendedRange(NamedTuple):
    """Numbers `mantissa * 2**exponent`, both float32; mantissas are positive and near 1."""

    mantissa: Any
    exponent: Any

    def times(self, other: ExtendedRange) -> ExtendedRange:
        return ExtendedRange(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def at(self, *index: Any) -> ExtendedRange:
        return ExtendedRange(self.mantissa[index], self.exponent[index])

    def sum(self, axis: int) -> ExtendedRange:
        top = ops.max(self.exponent, axis=axis, keepdims=True)
        size = ops.sum(self.mantissa * _power_of_2(self.exponent - top), axis=axis)
        shift = ops.floor(ops.log(size) * (1.0 / _LN2))
        return ExtendedRange(size * _power_of_2(-shift), ops.squeeze(top, axis) + shift)

    def log(self) -> Any:
        return ops.log(self.mantissa) + self.exponent * _LN2

    def shares(self, total: ExtendedRange) -> Any:
        """Returns the quotients of numbers and what they sum to, as plain numbers."""
        # Below 2 but for sequences whose every path is impossible, whose quotients nobody uses.
        exponent = ops.minimum(self.exponent - total.exponent, 8.0)
        return self.mantissa / total.mantissa * _power_of_2(exponent)


def exp(scores: Any) -> ExtendedRange:
    """Returns the exponentials of scores, exact to float32's precision at any size."""
    exponent = ops.round(scores * (1.0 / _LN2))
    rest = (scores - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    return ExtendedRange(ops.exp(ops.clip(rest, -1.0, 1.0)), exponent)  # The clip is for impossible scores.


def forward(chain: Chain, packing: Packing) -> tuple[Any, ExtendedRange]:
    """Returns the log-partition, `(batch,)`, and the forward values, `(time, batch, states)`."""
    emissions, transitions = exp(time_major(chain.emissions)), exp(chain.transitions)

    def step(alpha: ExtendedRange, emission: ExtendedRange) -> Any:
        new = alpha.at(..., None).times(transitions).sum(axis=1).times(emission)
        return new, new

    first = exp(chain.start).times(emissions.at(0))
    _, rest = scan(step, first, ExtendedRange(*map(after_first, emissions)))
    alpha = ExtendedRange(*[ops.concatenate([a[None], b[:-1]]) for a, b in zip(first, rest, strict=True)])
    return ops.where(packing.lengths > 0, _partition(chain, packing, alpha).log(), 0.0), alpha


def backward(chain: Chain, packing: Packing, alpha: ExtendedRange, weights: Any) -> Expectations:
    """Returns the expectations, with states of shape `(batch, time, states)`.

    Args:
        chain: The potentials, packed.
        packing: The steps that exist.
        alpha: The forward values.
        weights: Of each sequence, shape `(batch,)`; 0 for those whose every path is impossible.
    """
    emissions, transitions = exp(time_major(chain.emissions)), exp(chain.transitions)
    partition = _partition(chain, packing, alpha)
    end = ExtendedRange(*[ops.broadcast_to(x, ops.shape(alpha.mantissa[0])) for x in exp(chain.end)])
    weights = ops.where(packing.step_mask(), weights[None, :], 0.0)

    def step(carry: Any, entry: Any) -> Any:
        beta_before_last, pairs = carry
        emission, arriving, is_last, weight = entry
        beta = ExtendedRange(
            *[ops.where(is_last[:, None], x, y) for x, y in zip(end, beta_before_last, strict=True)]
        )
        message = emission.times(beta).at(slice(None), None).times(transitions)
        shares = arriving.at(..., None).times(message).shares(partition.at(slice(None), None, None))
        pairs = pairs + ops.sum(shares * weight[:, None, None], axis=0)
        return (message.sum(axis=2), pairs), beta

    zeros = ops.zeros_like(chain.transitions)
    # Nothing arrives at the first step.
    arriving = ExtendedRange(*[ops.concatenate([x[:1], x[:-1]]) for x in alpha])
    counted = ops.concatenate([ops.zeros_like(weights[:1]), weights[1:]])
    entries = (emissions, arriving, packing.is_last(), counted)
    (_, pairs), beta = scan(step, (end, zeros), entries, reverse=True)
    states = alpha.times(beta).shares(partition.at(None, slice(None), None))
    return expectations_of(states * weights[:, :, None], pairs, packing)


def _partition(chain: Chain, packing: Packing, alpha: ExtendedRange) -> ExtendedRange:
    last = ExtendedRange(*map(packing.at_last, alpha))
    return last.times(exp(chain.end)).sum(axis=-1)


def _power_of_2(exponent: Any) -> Any:
    return ops.exp(exponent * _LN2)
