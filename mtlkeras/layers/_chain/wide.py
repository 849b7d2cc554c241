"""Forward and backward recursions on numbers that each have an exponent of their own.

Logarithms in float32 would not do: at a score of 3000 they err by 1e-4, and by more in each step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import ops

from mtlkeras._backends import scan
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

# Two parts of ln 2, the first of so few bits that its products with exponents are exact.
_LN2, _LN2_HIGH, _LN2_LOW = math.log(2.0), 355.0 / 512.0, math.log(2.0) - 355.0 / 512.0


class Wide(NamedTuple):
    """Numbers `mantissa * 2**exponent`, both float32; mantissas are positive and near 1."""

    mantissa: Any
    exponent: Any

    def times(self, other: Wide) -> Wide:
        return Wide(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def at(self, *index: Any) -> Wide:
        return Wide(self.mantissa[index], self.exponent[index])

    def sum(self, axis: int) -> Wide:
        top = ops.max(self.exponent, axis=axis, keepdims=True)
        size = ops.sum(self.mantissa * _power_of_2(self.exponent - top), axis=axis)
        shift = ops.floor(ops.log(size) * (1.0 / _LN2))
        return Wide(size * _power_of_2(-shift), ops.squeeze(top, axis) + shift)

    def log(self) -> Any:
        return ops.log(self.mantissa) + self.exponent * _LN2

    def shares(self, total: Wide) -> Any:
        """Returns the quotients of numbers and what they sum to, as plain numbers."""
        # Below 2 but for sequences whose every path is impossible, whose quotients nobody uses.
        exponent = ops.minimum(self.exponent - total.exponent, 8.0)
        return self.mantissa / total.mantissa * _power_of_2(exponent)


def exp(scores: Any) -> Wide:
    """Returns the exponentials of scores, exact to float32's precision at any size."""
    exponent = ops.round(scores * (1.0 / _LN2))
    rest = (scores - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    return Wide(ops.exp(ops.clip(rest, -1.0, 1.0)), exponent)  # The clip is for impossible scores.


def forward(chain: Chain, places: Compact) -> tuple[Any, Wide]:
    """Returns the log-partition, `(batch,)`, and the forward values, `(time, batch, states)`."""
    emissions, transitions = exp(time_major(chain.emissions)), exp(chain.transitions)

    def step(before: Wide, emission: Wide) -> Any:
        new = before.at(..., None).times(transitions).sum(axis=1).times(emission)
        return new, new

    first = exp(chain.start).times(emissions.at(0))
    _, rest = scan(step, first, Wide(*map(after_first, emissions)))
    found = Wide(*[ops.concatenate([a[None], b[:-1]]) for a, b in zip(first, rest, strict=True)])
    return ops.where(places.lengths > 0, _total(chain, places, found).log(), 0.0), found


def backward(chain: Chain, places: Compact, before: Wide, weights: Any) -> Expectations:
    """Returns the expectations, with states of shape `(batch, time, states)`.

    Args:
        chain: The potentials, closed up.
        places: The steps that exist.
        before: The forward values.
        weights: Of each sequence, shape `(batch,)`; 0 for those whose every path is impossible.
    """
    emissions, transitions = exp(time_major(chain.emissions)), exp(chain.transitions)
    total = _total(chain, places, before)
    end = Wide(*[ops.broadcast_to(x, ops.shape(before.mantissa[0])) for x in exp(chain.end)])
    weights = ops.where(there(places), weights[None, :], 0.0)

    def step(carry: Any, entry: Any) -> Any:
        after, pairs = carry
        emission, arriving, ends, weight = entry
        here = Wide(*[ops.where(ends[:, None], x, y) for x, y in zip(end, after, strict=True)])
        joint = emission.times(here).at(slice(None), None).times(transitions)
        seen = arriving.at(..., None).times(joint).shares(total.at(slice(None), None, None))
        pairs = pairs + ops.sum(seen * weight[:, None, None], axis=0)
        return (joint.sum(axis=2), pairs), here

    zeros = ops.zeros_like(chain.transitions)
    # Nothing arrives at the first step.
    arriving = Wide(*[ops.concatenate([x[:1], x[:-1]]) for x in before])
    counted = ops.concatenate([ops.zeros_like(weights[:1]), weights[1:]])
    entries = (emissions, arriving, is_last(places), counted)
    (_, pairs), after = scan(step, (end, zeros), entries, reverse=True)
    states = before.times(after).shares(total.at(None, slice(None), None))
    return expected(states * weights[:, :, None], pairs, places)


def _total(chain: Chain, places: Compact, found: Wide) -> Wide:
    last = Wide(at_last(found.mantissa, places), at_last(found.exponent, places))
    return last.times(exp(chain.end)).sum(axis=-1)


def _power_of_2(exponent: Any) -> Any:
    return ops.exp(exponent * _LN2)
