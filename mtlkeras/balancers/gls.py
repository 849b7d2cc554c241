"""The geometric mean of the losses."""

from __future__ import annotations

from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed
from mtlkeras.specs import spec

_LEAST = 1e-30


@spec
class GLS(LossBalancer):
    """The geometric loss strategy (Chennupati et al. 2019): J = (product of L_k)^(1/K).

    It does not change when a loss is scaled, up to a factor for all. The losses must not be
    negative. Computed from logarithms, so that no product under- or overflows; the mean is over
    the tasks that have labels.

    Reference: MultiNet++: Multi-stream feature aggregation and geometric loss strategy for
    multi-task learning, CVPR workshops 2019.

    Example:

    ```python
    mtlkeras.balancers.GLS().objective([0.5, 2.0, 8.0])  # 2.0
    ```
    """

    def weigh(self, problem: Problem) -> Weighed:
        losses = ops.where(problem.present > 0, ops.maximum(problem.losses, _LEAST), 1.0)
        mean = ops.exp(ops.sum(ops.log(losses) * problem.present) / problem.count)
        return Weighed(mean, mean / (problem.count * losses) * problem.present)
