"""The log-partition of a chain, with the marginals as its gradient.

The recursions run in one of two forms. `probabilities` scales probabilities in each step, so that
a step is one product of matrices. With `r` the range of the transitions, start and end scores, and
values scaled to sum to 1, no state is reached with less than `exp(-r)` of the best, and none goes
on with less than `exp(-r)` of the best, whatever the emissions are. What float32 cannot hold, less
than 1e-38, thus has less than `1e-38 exp(r) states` of the sequence's probability: for r < 50,
nothing. Where transitions are forbidden the argument fails, for all good paths may pass a state
that was out of sight before: there `wide` gives each number an exponent of its own.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.layers._chain import probabilities, wide
from mtlkeras.layers._chain.compact import Compact
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, Expectations, closed

_LARGEST_RANGE = 50.0


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
        given = closed(Chain(emissions, transitions, start, end), places)
        is_narrow = _is_narrow(given)
        total, forward = ops.cond(
            is_narrow,
            lambda: _with_exponents(*probabilities.forward(given, places)),
            lambda: wide.forward(given, places),
        )

        def gradient(*args: Any, upstream: Any = None) -> Any:
            weights = _of_possible(total, args[0] if upstream is None else upstream)
            found = ops.cond(
                is_narrow,
                lambda: tuple(probabilities.backward(given, places, forward[0], weights)),
                lambda: tuple(wide.backward(given, places, forward, weights)),
            )
            return (places.open(found[0]), *found[1:])

        return total, gradient

    return compute(*chain)


def log_partition_if(condition: Any, chain: Chain, places: Compact) -> Any:
    """Returns `log_partition` where a scalar bool holds, and else 0 at next to no cost."""

    # A condition outside of the custom gradient would be left to the backend to differentiate.
    @ops.custom_gradient
    def compute(emissions: Any, transitions: Any, start: Any, end: Any) -> Any:
        given = Chain(emissions, transitions, start, end)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return ops.cond(
                condition,
                lambda: tuple(expectations(given, places, upstream)),
                lambda: tuple(ops.zeros_like(x) for x in given),
            )

        nothing = ops.zeros_like(emissions[:, 0, 0])
        return ops.cond(condition, lambda: log_partition(given, places), lambda: nothing), gradient

    return compute(*chain)


def expectations(chain: Chain, places: Compact, weights: Any = None) -> Expectations:
    """Returns the expected states and transitions of each sequence, times its weight.

    A sequence whose every path is impossible has none: zeros.

    Args:
        chain: The potentials, in float32.
        places: The steps that exist.
        weights: Shape `(batch,)`; 1 unless told.
    """
    given = closed(chain, places)
    if weights is None:
        weights = ops.ones_like(given.emissions[:, 0, 0])

    def by_probabilities() -> Any:
        total, forward = probabilities.forward(given, places)
        return tuple(probabilities.backward(given, places, forward, _of_possible(total, weights)))

    def by_wide_numbers() -> Any:
        total, forward = wide.forward(given, places)
        return tuple(wide.backward(given, places, forward, _of_possible(total, weights)))

    found = ops.cond(_is_narrow(given), by_probabilities, by_wide_numbers)
    return Expectations(places.open(found[0]), *found[1:])


def _of_possible(log_totals: Any, weights: Any) -> Any:
    """Returns weights without those of sequences whose every path is impossible."""
    return ops.where(log_totals > IMPOSSIBLE / 2, weights, 0.0)


def _is_narrow(chain: Chain) -> Any:
    ranges = [ops.max(x) - ops.min(x) for x in (chain.transitions, chain.start, chain.end)]
    return ranges[0] + ranges[1] + ranges[2] < _LARGEST_RANGE


def _with_exponents(total: Any, forward: Any) -> Any:
    return total, wide.Wide(forward, ops.zeros_like(forward))
