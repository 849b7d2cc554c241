"""The mean gradient projected to where no task loses."""

from __future__ import annotations

from typing import Any

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.balancers._matrices import answer
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.balancers.upgrad import projected, shares
from mtlkeras.specs import spec


@spec
class DualProj(GramBalancer):
    """The mean gradient, projected onto the dual cone (Lopez-Paz and Ranzato 2017, GEM).

    The nearest direction d to the mean of the gradients with g_k . d >= 0 for every task: its
    weights v minimise v' G v over v >= p (equation 11), p the preferences.

    Args:
        preference: Preferences by task, or in the order of the tasks; `None` for equal ones.

    Reference: Gradient episodic memory for continual learning, NeurIPS 2017.

    Example:

    ```python
    weights = mtlkeras.balancers.DualProj().weights([[18.0, -22.0], [-22.0, 38.0]])
    ```
    """

    preference: Any = None

    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        return answer(projected(problem, shares(problem))), {}
