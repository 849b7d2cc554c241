"""Running averages of another balancer's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._types import NamedTensors, Seed, Tensor
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.balancers.mgda import MGDA
from mtlkeras.specs import spec, tunable


@spec
class CRMOGM(GramBalancer):
    """Correlation-reduced multi-objective gradients (Zhou et al. 2022), around another balancer.

    The weights are w_t = alpha w_(t-1) + (1 - alpha) v_t, where v_t are those of the other
    balancer (algorithm 1): averages depend less on the batch that they weigh. The first step
    takes v_1 as it is.

    Args:
        alpha: Share of the weights so far, in [0, 1).
        balancer: The other balancer, by the Gram matrix; `at`, `layers`, `every` and
            `gram_fraction` are those of this one.

    Reference: On the convergence of stochastic multi-objective gradient manipulation and
    beyond, NeurIPS 2022.

    Example:

    ```python
    balancer = mtlkeras.balancers.CRMOGM(alpha=0.9, balancer=mtlkeras.balancers.CAGrad())
    ```
    """

    alpha: float = tunable(0.9, low=0.5, high=0.99)
    balancer: Any = MGDA()  # type: ignore[call-arg]

    def validate(self) -> None:
        super().validate()
        if not 0 <= self.alpha < 1:
            raise ValueError(f"CRMOGM: alpha must be in [0, 1); received {self.alpha}.")
        if not isinstance(self.balancer, GramBalancer):
            raise ValueError(
                f"CRMOGM: balancer must be a balancer by the Gram matrix such as MGDA(); "
                f"received {self.balancer!r}."
            )

    @property
    def seed(self) -> int | None:
        """The seed of the other balancer, if it draws."""
        return self.balancer.seed

    def preferences(self, tasks: Sequence[str]) -> np.ndarray:
        return self.balancer.preferences(tasks)

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        own = {"average": np.zeros(len(heads), "float32"), "known": np.zeros(len(heads), "float32")}
        return {**self.balancer.memory(heads), **own}

    def draw(self, count: int, seed: Seed) -> Tensor | None:
        return self.balancer.draw(count, seed)

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        weights, changes = self.balancer.solve(problem)
        before, started = problem.memory["average"], problem.memory["known"]
        share = self.alpha * started
        average = ops.where(problem.present > 0, share * before + (1.0 - share) * weights, before)
        started = ops.maximum(started, problem.present)
        return average * problem.present, {**changes, "average": average, "known": started}
