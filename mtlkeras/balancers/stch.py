"""A smooth maximum of the losses."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed, above_zero, masked_softmax
from mtlkeras.specs import spec, tunable


@spec
class STCH(LossBalancer):
    """Smooth Tchebycheff scalarisation (Lin et al. 2024): the worst task counts, smoothly.

    J = mu log sum of exp(p_k (L_k - z_k) / mu), equation 7, with preferences p that sum to 1 and
    the ideal losses z. For mu to 0 it is the largest of p_k (L_k - z_k). This is the paper's
    formula, without the warm-up epochs and the scaling of log-losses that some codes add.

    Args:
        mu: Smoothing.
        preference: Preferences by task, or in the order of the tasks; `None` for equal ones.
        ideal: A loss that each task could reach at best, one number for all.

    Reference: Smooth Tchebycheff scalarization for multi-objective optimization, ICML 2024.

    Example:

    ```python
    mtlkeras.balancers.STCH().objective([0.5, 2.0, 8.0])  # 2.8634
    ```
    """

    mu: float = tunable(1.0, low=0.05, high=5.0, log=True)
    preference: Any = None
    ideal: float = 0.0

    def validate(self) -> None:
        above_zero(self, "mu")

    def weigh(self, problem: Problem) -> Weighed:
        share = problem.preference * problem.present
        share = share / ops.maximum(ops.sum(share), 1e-30)
        scores = share * (problem.losses - self.ideal) / self.mu
        weights = share * masked_softmax(scores, problem.present)
        shown = ops.where(problem.present > 0, scores, -1e30)
        return Weighed(self.mu * ops.logsumexp(shown) * ops.max(problem.present), weights)
