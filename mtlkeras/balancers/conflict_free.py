"""The direction at one angle to all gradients."""

from __future__ import annotations

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, scaled, times
from mtlkeras.balancers._solvers import spectrum
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec


@spec
class ConFIG(GramBalancer):
    """Conflict-free inverse gradients (Liu, Chu and Thuerey 2024).

    The update has the same cosine with every gradient: with U the unit gradients, x = U^+ 1
    and the update is (sum of g_k . x) x / |x|^2 (equation 4). From the gradients' lengths D and
    cosines C its weights are D^-1 C^+ 1 times that factor. Where no direction has a positive
    cosine with all gradients, as for opposed ones, the update is zero.

    Reference: ConFIG: Towards conflict-free training of physics informed neural networks, 2024.

    Example:

    ```python
    weights = mtlkeras.balancers.ConFIG().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, cosines, active = scaled(problem.gram, problem.present)
        values, vectors, kept = spectrum(cosines)
        along = times(ops.transpose(vectors), active)
        shares = active * times(vectors, ops.where(kept, along / ops.where(kept, values, 1.0), 0.0))
        # |x|^2 is at least 1 where there is such a direction, and rounding where there is none.
        square = ops.sum(shares * active)
        total = ops.sum(lengths * times(cosines, shares))
        factor = ops.where(square > 1e-3, total / ops.maximum(square, 1e-3), 0.0)
        return answer(factor * shares / lengths), {}
