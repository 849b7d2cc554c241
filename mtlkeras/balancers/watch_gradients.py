"""Weights as without a balancer, and a look at the gradients."""

from __future__ import annotations

from typing import ClassVar

from keras import ops

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.specs import spec


@spec
class WatchGradients(GramBalancer):
    """Trains as without a balancer, and logs whether the tasks' gradients agree.

    All weights are 1, and not logged. In the logs of each epoch of `fit` stand the means over its steps of
    `<task>_<task>_cosine`, the cosine of two tasks' gradients, below 0 where they conflict (Yu et al. 2020,
    PCGrad, definition 1), and of `<task>_gradient_share`, a task's part in the sum of the gradients' norms.
    Any other balancer that weighs by inner products logs them with `watch=True`.

    `at="representation"` looks at the gradients of what the trunk hands to the heads, at next to no cost;
    `at="parameters"` at those of the shared parameters. `mtlkeras.analysis.GradientCosines` looks at one
    and the same batch, by stage of the trunk, and needs nothing of `compile`.

    Example:

    ```python
    heads = {"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam", balancer=mtlkeras.balancers.WatchGradients())
    x, y = np.random.rand(64, 8), np.random.rand(64)
    logs = model.fit(x, {"a": y, "b": -y}, epochs=2, verbose=0).history
    logs["a_b_cosine"], logs["a_gradient_share"]
    ```
    """

    weighs: ClassVar[bool] = False

    watch: bool = True

    def validate(self) -> None:
        super().validate()
        if not self.watch:
            raise ValueError("WatchGradients: watch must be True: watching is all that it does.")

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        return ops.ones_like(problem.present) * problem.present, {}
