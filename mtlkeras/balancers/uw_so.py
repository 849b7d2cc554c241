"""Weights by the inverse of the losses."""

from __future__ import annotations

from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, above_zero, masked_softmax
from mtlkeras.specs import spec, tunable

_LEAST = 1e-8


@spec
class UWSO(LossBalancer):
    """Soft optimal uncertainty weighting (Kirchdorfer et al. 2024): what is nearly learned weighs most.

    w = softmax of 1 / (temperature L) with the losses held fixed, and J = sum of w_k L_k. The
    inverse loss is where the noise of `Uncertainty` ends if it is solved for in place of learned;
    the softmax keeps it within bounds. The weights sum to 1 over the tasks that have labels, and
    the losses must be positive.

    Args:
        temperature: The larger, the more equal the weights. It has the unit of 1 / L and no
            value that suits all data: the paper searches one for each data set, and 10 is a
            choice of this library. A task whose loss falls far below 1 / temperature takes
            all of the weight.

    Reference: Analytical uncertainty-based loss weighting in multi-task learning, GCPR 2024.

    Example:

    ```python
    mtlkeras.balancers.UWSO(temperature=1.0).weights([0.5, 2.0, 8.0])  # 0.7265, 0.1621, 0.1114
    ```
    """

    temperature: float = tunable(10.0, low=0.1, high=100.0, log=True)

    def validate(self) -> None:
        above_zero(self, "temperature")

    def weigh(self, problem: Problem) -> Weighed:
        scores = 1.0 / (self.temperature * ops.maximum(problem.losses, _LEAST))
        weights = masked_softmax(scores, problem.present)
        return Weighed(ops.sum(weights * problem.losses), weights)
