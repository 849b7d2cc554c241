"""Whether several tasks are right at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class ExactMatch(keras.metrics.Metric):
    """Share of the examples whose answers are right in all of the tasks, in every token and label.

    Given to `compile(joint_metrics=...)`. An example counts if each of the tasks has a label
    for it, or, with `known_only`, one of them has.

    Args:
        tasks: Names of the tasks, of heads that answer with classes or tags.
        known_only: Whether an example is judged by those of its labels that are known, where others are
            missing, as in a mix of data sets that label other tasks.
        joint: Whether the answers are the most probable ones together, for tasks of a
            `mtlkeras.dependence.TaskChain`, and not the best one to each. Those make the share largest.

    Example:

    ```python
    metric = mtlkeras.metrics.ExactMatch(("intent", "slots"))
    ```
    """

    def __init__(
        self,
        tasks: Sequence[str],
        name: str | None = None,
        joint: bool = False,
        known_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or ("joint_exact_match" if joint else "exact_match"), **kwargs)
        self._direction = "up"
        self.tasks, self.joint, self.known_only = tuple(tasks), joint, known_only
        self.takes = "mode" if joint else "answers"
        self.counts = self.add_variable((2,), "zeros", dtype="float32", name="counts")

    def update_state(
        self, y_true: Mapping[str, Any], y_pred: Mapping[str, Any], known: Mapping[str, Any]
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Class or tag indices by task, shape `(batch,)`, `(batch, time)` or `(batch, labels)`.
            y_pred: The same, as predicted.
            known: Bool by task: which of the labels are there.
        """
        right, counts = [], []
        for task in self.tasks:
            same = ops.equal(ops.cast(y_true[task], "int32"), ops.cast(y_pred[task], "int32"))
            same = ops.logical_or(same, ops.logical_not(known[task]))
            has_label = known[task]
            if len(same.shape) == 2:
                same, has_label = ops.all(same, axis=1), ops.any(has_label, axis=1)
            right.append(ops.logical_or(same, ops.logical_not(has_label)))
            counts.append(has_label)
        counted = (ops.any if self.known_only else ops.all)(ops.stack(counts), axis=0)
        right = ops.logical_and(counted, ops.all(ops.stack(right), axis=0))
        self.counts.assign_add(ops.stack([ops.sum(ops.cast(x, "float32")) for x in (right, counted)]))

    def result(self) -> Tensor:
        return ops.divide_no_nan(self.counts[0], self.counts[1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tasks": list(self.tasks),
            "joint": self.joint,
            "known_only": self.known_only,
        }
