"""A fair share of progress for each task."""

from __future__ import annotations

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, scaled
from mtlkeras.balancers._solvers import fair_point
from mtlkeras.balancers.base import GramBalancer, Problem, above_zero
from mtlkeras.specs import spec, tunable


@spec
class FairGrad(GramBalancer):
    """Fair resource allocation in multi-task learning (Ban and Ji 2024).

    The update d = sum of w_k g_k, |d| bounded, maximises the sum of (g_k . d)^(1-a) / (1-a), the
    a-fair utility of the tasks' progress: w > 0 solves G w = w^(-1/a) (equation 7). With a = 1
    these are the weights of `NashMTL` before its update is cut. Gradients of zero are left out.

    Args:
        a: Fairness; towards 0 all progress counts alike, for large a the least progress counts.

    Reference: Fair resource allocation in multi-task learning, ICML 2024.

    Example:

    ```python
    weights = mtlkeras.balancers.FairGrad(a=2.0).weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    a: float = tunable(1.0, 0.5, 1.0, 2.0, 5.0)

    def validate(self) -> None:
        super().validate()
        above_zero(self, "a")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, _, active = parts = scaled(problem.gram, problem.present)
        # With w = b / lengths the equation is in cosines: C b = lengths^(1/a - 1) b^(-1/a).
        power = 1.0 / self.a
        shares = fair_point(parts.filled, lengths ** (power - 1.0), power) * active
        return answer(shares / lengths), {}
