"""How probable the labels of several tasks are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class JointLogLikelihood(keras.metrics.Metric):
    """Mean over the examples of the log of the probability of their known labels of several tasks together.

    Given to `compile(joint_metrics=...)`. It is exact for tasks of a `mtlkeras.dependence.TaskChain`, those
    that are not named and labels that are missing summed out; tasks that do not depend on each other have
    the sum of their logs. An example counts if any of its labels is known. Class and sample weights do not
    count.

    Args:
        tasks: Names of the tasks, of heads `Classification`, `Ordinal` or `MultiLabel`.

    Example:

    ```python
    metric = mtlkeras.metrics.JointLogLikelihood(("income", "marital_status"))
    ```
    """

    def __init__(self, tasks: Sequence[str], name: str = "joint_log_likelihood", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._direction = "up"
        self.tasks = tuple(tasks)
        self.takes, self.every_task = "log_likelihoods", False
        self.sums = self.add_variable((2,), "zeros", dtype="float32", name="sums")

    def update_state(
        self, y_true: Mapping[str, Any], y_pred: Mapping[str, Any], known: Mapping[str, Any]
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Labels by task; they are not used.
            y_pred: By task each label's part of the log-likelihood, `(batch,)` or `(batch, labels)`.
            known: Bool of these shapes by task: which of the labels are there.
        """
        logs, there = [], []
        for task, mask in known.items():
            logs.append(ops.sum(ops.where(mask, y_pred[task], 0.0)))
            there.append(ops.any(mask, axis=-1) if len(mask.shape) == 2 else mask)
        examples = ops.cast(ops.any(ops.stack(there), axis=0), "float32")
        self.sums.assign_add(ops.stack([sum(logs), ops.sum(examples)]))

    def result(self) -> Tensor:
        return ops.divide_no_nan(self.sums[0], self.sums[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tasks": list(self.tasks)}
