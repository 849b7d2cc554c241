"""The direction that all gradients have the same part in."""

from __future__ import annotations

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import ROUNDING, answer, diagonal, scaled, solve
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec


@spec
class IMTLG(GramBalancer):
    """Impartial gradients, the gradient balance of IMTL (Liu et al. 2021).

    The update g = sum of w_k g_k with sum of w_k = 1 has equal projections on all unit
    gradients: g . u_1 = g . u_k (equation 3). With lengths D and cosines C of the gradients,
    w is D^-1 C^-1 1, divided by its sum. Gradients of zero, for which the published formula
    gives NaN, are left out; C is inverted with 1e-6 added to its diagonal, so that opposed and
    equal gradients have an answer: weights in inverse proportion to their lengths.

    Reference: Towards impartial multi-task learning, ICLR 2021.

    Example:

    ```python
    weights = mtlkeras.balancers.IMTLG().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, _, active = parts = scaled(problem.gram, problem.present)
        shares = solve(parts.filled + ROUNDING * diagonal(active), active) * active
        # In units of the shortest gradient, so that no scale under- or overflows.
        shares = shares * ops.min(ops.where(active > 0, lengths, 1e30)) / lengths
        total = ops.sum(shares)
        least = ROUNDING * ops.sum(ops.absolute(shares))
        total = ops.where(ops.absolute(total) < least, ops.where(total < 0, -least, least), total)
        return answer(ops.divide_no_nan(shares, total)), {}
