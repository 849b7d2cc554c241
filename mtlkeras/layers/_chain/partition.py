"""The log-partition of a chain, with the marginals as its gradient.

The recursions run in one of two forms. `scaled` scales probabilities in each step, so that
a step is one product of matrices. With `r` the range of the transitions, start and end scores, and
values scaled to sum to 1, no state is reached with less than `exp(-r)` of the best, and none goes
on with less than `exp(-r)` of the best, whatever the emissions are. What float32 cannot hold, less
than 1e-38, thus has less than `1e-38 exp(r) states` of the sequence's probability: for r < 50,
nothing. Where transitions are forbidden the argument fails, for all good paths may pass a state
that was out of sight before: there `extended_range` gives each number an exponent of its own.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.layers._chain import extended_range, scaled
from mtlkeras.layers._chain.packing import Packing
from mtlkeras.layers._chain.potentials import IMPOSSIBLE, Chain, Expectations, packed

_LARGEST_SCALED_RANGE = 50.0


def log_partition(chain: Chain, packing: Packing) -> Any:
    """Returns the log of the summed exponentials of all paths' scores.

    Its gradient is computed by the forward-backward recursions and not by differentiating them.

    Args:
        chain: The potentials, in float32.
        packing: The steps that exist.

    Returns:
        Shape `(batch,)`; 0 for a sequence without steps.
    """

    @ops.custom_gradient
    def compute(emissions: Any, transitions: Any, start: Any, end: Any) -> Any:
        given = packed(_unwatched(emissions, transitions, start, end), packing)
        fits_scaling = _fits_scaling(given)
        log_partitions, alpha = ops.cond(
            fits_scaling,
            lambda: _with_exponents(*scaled.forward(given, packing)),
            lambda: extended_range.forward(given, packing),
        )

        def gradient(*args: Any, upstream: Any = None) -> Any:
            weights = _of_possible(log_partitions, args[0] if upstream is None else upstream)
            found = ops.cond(
                fits_scaling,
                lambda: tuple(scaled.backward(given, packing, alpha[0], weights)),
                lambda: tuple(extended_range.backward(given, packing, alpha, weights)),
            )
            return (packing.unpack(found[0]), *found[1:])

        return log_partitions, gradient

    return compute(*chain)


def _unwatched(*potentials: Any) -> Chain:
    """Returns potentials that no gradient goes to, for within a custom gradient.

    For a tape that is asked several times TensorFlow makes the gradient of each loop and branch at once,
    needed or not, and fails at that of some.
    """
    return Chain(*map(ops.stop_gradient, potentials))


def log_partition_if(condition: Any, chain: Chain, packing: Packing) -> Any:
    """Returns `log_partition` where a scalar bool holds, and else 0 at next to no cost."""

    # A condition outside of the custom gradient would be left to the backend to differentiate.
    @ops.custom_gradient
    def compute(emissions: Any, transitions: Any, start: Any, end: Any) -> Any:
        given = _unwatched(emissions, transitions, start, end)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return ops.cond(
                condition,
                lambda: tuple(expectations(given, packing, upstream)),
                lambda: tuple(ops.zeros_like(x) for x in given),
            )

        nothing = ops.zeros_like(given.emissions[:, 0, 0])
        return ops.cond(condition, lambda: log_partition(given, packing), lambda: nothing), gradient

    return compute(*chain)


def expectations(chain: Chain, packing: Packing, weights: Any = None) -> Expectations:
    """Returns the expected states and transitions of each sequence, times its weight.

    A sequence whose every path is impossible has none: zeros.

    Args:
        chain: The potentials, in float32.
        packing: The steps that exist.
        weights: Shape `(batch,)`; 1 unless told.
    """
    given = packed(chain, packing)
    if weights is None:
        weights = ops.ones_like(given.emissions[:, 0, 0])

    def with_scaling() -> Any:
        log_partitions, alpha = scaled.forward(given, packing)
        return tuple(scaled.backward(given, packing, alpha, _of_possible(log_partitions, weights)))

    def with_extended_range() -> Any:
        log_partitions, alpha = extended_range.forward(given, packing)
        return tuple(extended_range.backward(given, packing, alpha, _of_possible(log_partitions, weights)))

    found = ops.cond(_fits_scaling(given), with_scaling, with_extended_range)
    return Expectations(packing.unpack(found[0]), *found[1:])


def _of_possible(log_partitions: Any, weights: Any) -> Any:
    """Returns weights without those of sequences whose every path is impossible."""
    return ops.where(log_partitions > IMPOSSIBLE / 2, weights, 0.0)


def _fits_scaling(chain: Chain) -> Any:
    ranges = [ops.max(x) - ops.min(x) for x in (chain.transitions, chain.start, chain.end)]
    return ranges[0] + ranges[1] + ranges[2] < _LARGEST_SCALED_RANGE


def _with_exponents(log_partitions: Any, alpha: Any) -> Any:
    return log_partitions, extended_range.ExtendedRange(alpha, ops.zeros_like(alpha))
