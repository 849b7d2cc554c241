"""How a step for one task changes the losses of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlkeras.analysis.gradients import GradientProbe
from mtlkeras.analysis.task_matrix import TaskMatrix


def task_affinity(model: Any, data: Any, learning_rate: float = 1e-2) -> TaskMatrix:
    """Returns how much a step for one task lowers the loss of each (Fifty et al. 2021, TAG, eq. 1).

    With theta' = theta - learning_rate * grad L_i on the shared layers alone, the affinity of i to j is

        Z[i, j] = 1 - L_j(theta'_i) / L_j(theta),

    positive where the step for i helps j. The steps are looked ahead: the model is the same afterwards. The
    mean over batches, and over moments in training, is what the paper groups tasks by.

    Args:
        model: A compiled `MultiTaskModel` whose tasks share trainable layers.
        data: `(x, y)`, `(x, y, sample_weight)`, or a data set, of which the first batch is taken.
        learning_rate: Length of the step, in gradients.

    Returns:
        The affinities, from the row's task to the column's; NaN where one has no labels, or the loss of the
        column's is zero. `group_tasks` takes them.

    Raises:
        ValueError: If the rate is not positive, the model is not compiled, its tasks share no trainable
            layer, or the data do not fit.

    Example:

    ```python
    heads = {"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    x, y = np.random.rand(32, 8), np.random.rand(32)
    mtlkeras.analysis.task_affinity(model, (x, {"a": y, "b": -y}))["a", "b"]
    ```
    """
    if not 0 < learning_rate < np.inf:
        raise ValueError(f"task_affinity: learning_rate must be positive; received {learning_rate!r}.")
    probe = GradientProbe(model, data)
    losses, present, gradients = probe.gradients()
    before = [variable.value + 0 for variable in probe.variables]
    affinity = np.full((len(losses), len(losses)), np.nan)
    try:
        for task in np.flatnonzero(present):
            for variable, value, found in zip(probe.variables, before, gradients, strict=True):
                variable.assign(value - learning_rate * found[int(task)])
            after = probe.gradients()[0]
            counts = present & (losses != 0)
            affinity[task, counts] = 1 - after[counts].astype("float64") / losses[counts]
    finally:
        for variable, value in zip(probe.variables, before, strict=True):
            variable.assign(value)
    return TaskMatrix(tuple(model.heads), affinity, "Affinity by looking ahead")
