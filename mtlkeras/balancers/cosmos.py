"""A weighted sum that keeps the losses in proportion."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras.balancers.base import LossBalancer, Problem, Weighed
from mtlkeras.specs import spec, tunable


@spec
class COSMOS(LossBalancer):
    """The objective of COSMOS (Ruchte and Grabocka 2021) for one preference.

    J = sum of p_k L_k - cosine cos(p, L), equation 6: beside the weighted sum it draws the
    vector of losses towards the direction of the preference p. The paper trains one network
    for all preferences by feeding it a drawn one as a further input; that is a matter of the
    network and is not part of a balancer.

    Args:
        cosine: Weight of the cosine, lambda in the paper.
        preference: Preferences by task, or in the order of the tasks; `None` for equal ones.

    Reference: Scalable Pareto front approximation for deep multi-objective learning, ICDM 2021.

    Example:

    ```python
    balancer = mtlkeras.balancers.COSMOS(preference={"left": 0.7, "right": 0.3})
    ```
    """

    cosine: float = tunable(1.0, low=0.01, high=10.0, log=True)
    preference: Any = None

    def validate(self) -> None:
        if not self.cosine >= 0:
            raise ValueError(f"COSMOS: cosine must not be negative; received {self.cosine}.")

    def weigh(self, problem: Problem) -> Weighed:
        share = problem.preference * problem.present
        share = share / ops.maximum(ops.sum(share), 1e-30)
        losses = problem.losses * problem.present
        # In units of the largest loss, whose square can leave the range of float32.
        largest = ops.max(ops.absolute(losses))
        unit = ops.divide_no_nan(losses, largest)
        lengths = ops.sqrt(ops.sum(share * share)) * ops.sqrt(ops.sum(unit * unit))
        cosine = ops.divide_no_nan(ops.sum(share * unit), lengths)
        turn = ops.divide_no_nan(share, lengths) - ops.divide_no_nan(cosine * unit, ops.sum(unit * unit))
        turn = ops.clip(ops.divide_no_nan(turn, largest), -1e30, 1e30)
        return Weighed(ops.sum(share * losses) - self.cosine * cosine, share - self.cosine * turn)
