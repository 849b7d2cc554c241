"""The best direction for the worst task near the mean gradient."""

from __future__ import annotations

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, normed, precise, times
from mtlkeras.balancers._solvers import towards
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec, tunable


@spec
class CAGrad(GramBalancer):
    """Conflict-averse gradient descent (Liu et al. 2021).

    The update d maximises min over k of g_k . d within |d - g_0| <= c |g_0|, where g_0 is the
    mean gradient. By its dual, d = g_0 + c |g_0| g_w / |g_w|, where g_w = sum of w_k g_k and w
    minimises g_w . g_0 + c |g_0| |g_w| over w >= 0 with sum 1 (equations 2 to 4).

    Args:
        c: Radius of the search, from 0 (the mean gradient) towards 1 (close to `MGDA`).
        rescale: Whether to divide the update by 1 + c^2, as the authors' code does.

    Reference: Conflict-averse gradient descent for multi-task learning, NeurIPS 2021.

    Example:

    ```python
    weights = mtlkeras.balancers.CAGrad(c=0.5).weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    c: float = tunable(0.5, low=0.1, high=0.9)
    rescale: bool = False

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.c:
            raise ValueError(f"CAGrad: c must not be negative; received {self.c}.")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        gram, _ = normed(problem.gram, problem.present)
        present = precise(problem.present)
        mean = present / ops.maximum(ops.sum(present), 1.0)
        products = times(gram, mean)
        radius = self.c * ops.sqrt(ops.maximum(ops.sum(products * mean), 0.0))
        weights = mean + radius * towards(gram, products, radius, present)
        return answer(weights / (1.0 + self.c**2) if self.rescale else weights), {}
