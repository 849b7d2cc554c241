"""Gradients made orthogonal."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer, normed, precise, times
from mtlkeras.balancers._solvers import spectrum
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec, tunable

SCALES = ("min", "median", "rmse")


@spec
class AlignedMTL(GramBalancer):
    """Independent component alignment (Senushkin et al. 2023).

    With the eigenvectors V and eigenvalues s^2 of the Gram matrix, the task gradients are
    replaced by the nearest system of orthogonal ones of one length: the weights are
    scale * V diag(1 / s) V' p for preferences p (equation 12). The condition number of the
    aligned system is 1. Directions that no gradient has are left out.

    Args:
        scale: The length: the `"min"` of the s as in the paper, their `"median"` or `"rmse"`
            (the root of their mean square).
        preference: Preferences by task, or in the order of the tasks; `None` for equal ones.

    Reference: Independent component alignment for multi-task learning, CVPR 2023.

    Example:

    ```python
    weights = mtlkeras.balancers.AlignedMTL().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    scale: str = tunable("min", *SCALES)
    preference: Any = None

    def validate(self) -> None:
        super().validate()
        if self.scale not in SCALES:
            raise unknown_name("scale", self.scale, SCALES, "scale= of AlignedMTL")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        gram, _ = normed(problem.gram, problem.present)
        share = precise(problem.preference * problem.present)
        share = share / ops.maximum(ops.sum(share), 1e-30)
        values, vectors, kept = spectrum(gram)
        singular = ops.sqrt(ops.where(kept, values, 1.0))
        # Eigenvalues come in rising order, so those kept are the last.
        rank = ops.sum(ops.cast(kept, "int32"))
        if self.scale == "min":
            length = ops.min(ops.where(kept, singular, 1e30))
        elif self.scale == "median":
            length = ops.take(singular, gram.shape[0] - 1 - rank // 2)
        else:
            squares = ops.sum(ops.where(kept, values, 0.0))
            length = ops.sqrt(squares / ops.cast(ops.maximum(rank, 1), gram.dtype))
        along = ops.where(kept, times(ops.transpose(vectors), share) / singular, 0.0)
        return answer(length * times(vectors, along) * precise(problem.present)), {}
