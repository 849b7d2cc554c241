"""The shortest convex combination of the gradients."""

from __future__ import annotations

from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, precise, scaled
from mtlkeras.balancers._solvers import shortest
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec, tunable

NORMALIZATIONS = ("none", "length", "loss", "loss_length")


@spec
class MGDA(GramBalancer):
    """The multiple-gradient descent algorithm (Desideri 2012; Sener and Koltun 2018).

    w minimises |sum of w_k g_k|^2 over w >= 0 with sum 1 (equation 3 of Sener and Koltun): the
    direction along which the task that gains least gains most. At a Pareto-stationary point it
    vanishes; so it does where one gradient is zero.

    Args:
        normalization: What each gradient is divided by first: `"none"`, its `"length"`, its
            `"loss"`, or both, `"loss_length"`. Without it the task of the smallest gradients
            decides.

    References: Multiple-gradient descent algorithm (MGDA) for multiobjective optimization, 2012;
    Multi-task learning as multi-objective optimization, NeurIPS 2018.

    Example:

    ```python
    weights = mtlkeras.balancers.MGDA().weights([[18.0, -22.0], [-22.0, 38.0]])  # 0.6, 0.4
    ```
    """

    normalization: str = tunable("none", *NORMALIZATIONS)

    def validate(self) -> None:
        super().validate()
        if self.normalization not in NORMALIZATIONS:
            raise unknown_name("normalization", self.normalization, NORMALIZATIONS, "normalization= of MGDA")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        lengths, cosines, active = scaled(problem.gram, problem.present)
        # In logarithms, since a length over a loss can leave the range of float32.
        divisor = ops.zeros_like(lengths)
        if "length" in self.normalization:
            divisor = divisor + ops.log(lengths)
        if "loss" in self.normalization:
            divisor = divisor + ops.log(ops.maximum(precise(problem.losses), 1e-30))
        logs = ops.log(lengths) - divisor
        least = ops.min(ops.where(active > 0, logs, 1e30))
        ratios = ops.where(active > 0, ops.exp(ops.minimum(least - logs, 0.0)), 1.0)
        ratios = ratios * precise(problem.present)
        w = shortest(cosines, ratios) * ratios
        w = ops.divide_no_nan(w, ops.sum(w))
        return answer(w * ops.exp(ops.clip(-divisor, -69.0, 69.0))), {}
