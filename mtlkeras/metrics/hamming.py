"""How many of the labels of several tasks are answered wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class HammingLoss(keras.metrics.Metric):
    """Share of the known labels of several tasks that are answered wrongly, as scikit-learn's `hamming_loss`.

    Given to `compile(joint_metrics=...)`. Each label of a `MultiLabel` task and each token counts as one, as
    the label of a class does; those that are missing do not count. The best answer to each by itself makes
    the loss smallest.

    Args:
        tasks: Names of the tasks, of heads that answer with classes or tags.
        joint: Whether the answers are the most probable ones together, for tasks of a
            `mtlkeras.dependence.TaskChain`, and not the best one to each.

    Example:

    ```python
    metric = mtlkeras.metrics.HammingLoss(("labels",))
    ```
    """

    def __init__(
        self, tasks: Sequence[str], joint: bool = False, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name or ("joint_hamming_loss" if joint else "hamming_loss"), **kwargs)
        self._direction = "down"
        self.tasks, self.joint = tuple(tasks), joint
        self.takes, self.every_task = "mode" if joint else "answers", False
        self.counts = self.add_variable((2,), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: Mapping[str, Any], y_pred: Mapping[str, Any], known: Mapping[str, Any]
    ) -> None:
        """Adds a batch; arguments as for `ExactMatch`."""
        wrong, labels = [], []
        for task, mask in known.items():
            other = ops.not_equal(ops.cast(y_true[task], "int32"), ops.cast(y_pred[task], "int32"))
            wrong.append(ops.sum(ops.cast(ops.logical_and(other, mask), "float32")))
            labels.append(ops.sum(ops.cast(mask, "float32")))
        self.counts.assign_add(ops.stack([sum(wrong), sum(labels)]))

    def result(self) -> Tensor:
        return ops.divide_no_nan(self.counts[0], self.counts[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tasks": list(self.tasks), "joint": self.joint}
