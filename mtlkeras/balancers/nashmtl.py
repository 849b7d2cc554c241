"""The bargain between the tasks."""

from __future__ import annotations

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, scaled, times
from mtlkeras.balancers._solvers import fair_point
from mtlkeras.balancers.base import GramBalancer, Problem, above_zero
from mtlkeras.specs import spec, tunable


@spec
class NashMTL(GramBalancer):
    """Multi-task learning as a bargaining game (Navon et al. 2022).

    The update maximises the sum of log(g_k . d) over a ball: d = sum of a_k g_k, where a > 0
    solves G a = 1 / a (claim 3.1). It does not change when a loss is scaled. The equation is
    solved by Newton's method on the gradients' cosines in place of the paper's sequence of
    convex programs; then |d| is sqrt(K), and `max_norm` shortens it as in the authors' code.
    Gradients of zero are left out. Opposed gradients have no bargain: the weights are then
    large, and what they combine to is next to nothing.

    Args:
        max_norm: Length that the update is cut to; `None` leaves it.

    Reference: Multi-task learning as a bargaining game, ICML 2022.

    Example:

    ```python
    weights = mtlkeras.balancers.NashMTL().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    max_norm: float | None = tunable(1.0, 0.5, 1.0, 2.0)

    def validate(self) -> None:
        super().validate()
        if self.max_norm is not None:
            above_zero(self, "max_norm")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, cosines, active = parts = scaled(problem.gram, problem.present)
        shares = fair_point(parts.filled, ops.ones_like(active), 1.0) * active
        if self.max_norm is not None:
            square = ops.sum(shares * times(cosines, shares))
            norm = ops.sqrt(ops.maximum(square, 0.0))
            shares = shares / ops.maximum(norm / self.max_norm, 1.0)
        return answer(shares / lengths), {}
