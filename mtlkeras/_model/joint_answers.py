"""What the metrics of several tasks compare in a batch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from keras import ops

from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.outputs import answer, dependent_scores
from mtlkeras.dependence._links import log_evidence
from mtlkeras.dependence.base import DependentScores


class JointAnswers:
    """Labels and answers of one batch, by task; each is found once, for all metrics that ask.

    Args:
        objectives: The tasks' objectives by name.
        layer: The layer in which the scores of several tasks meet, if there is one.
        y_true: Labels by task.
        y_pred: Outputs by task.
    """

    def __init__(
        self,
        objectives: Mapping[str, TaskObjective],
        layer: DependentScores | None,
        y_true: Mapping[str, Any],
        y_pred: Mapping[str, Any],
    ) -> None:
        self._objectives, self._layer = objectives, layer
        self._y_true, self._y_pred = y_true, y_pred
        self._labels: dict[str, tuple] = {}
        self._answers: dict[str, Any] = {}

    def update(self, metric: Any) -> None:
        """Adds the batch to a metric.

        A metric has `tasks`. It may say with `takes` what it is to be given: `"answers"` (by default) the
        best answer to each task, `"mode"` the best ones together, `"log_likelihoods"` of the labels; and with
        `every_task = False` that it counts batches that lack the labels of some tasks.
        """
        tasks = [task for task in metric.tasks if task in self._y_true]
        if len(tasks) < len(metric.tasks) and (getattr(metric, "every_task", True) or not tasks):
            return
        metric.update_state(*getattr(self, getattr(metric, "takes", "answers"))(tasks))

    def answers(self, tasks: Iterable[str]) -> tuple[dict, dict, dict]:
        """Returns labels, the best answer to each task, and which labels are there."""
        for task in tasks:
            if task not in self._answers:
                objective = self._objectives[task]
                outputs = objective.head.in_a_row(self._y_pred[task], 1)
                self._answers[task] = objective.layer.answers(outputs)
        return self._judged({task: self._answers[task] for task in tasks})

    def mode(self, tasks: Iterable[str]) -> tuple[dict, dict, dict]:
        """Returns what `answers` does, with the best answers together of tasks that depend on each other."""
        apart = [task for task in tasks if task not in self._dependent]
        found = self.answers(apart)[1]
        return self._judged({task: found[task] if task in found else self._mode[task] for task in tasks})

    def log_likelihoods(self, tasks: Iterable[str]) -> tuple[dict, dict, dict]:
        """Returns labels, each one's part of the log-likelihood of all of them, and which are there."""
        evidence = {
            task: self._objectives[task].evidence(self._y_true[task], self._y_pred[task]) for task in tasks
        }
        logs = {task: self._alone(task, evidence[task]) for task in tasks if task not in self._dependent}
        joint = {task: known for task, known in evidence.items() if task in self._dependent}
        if joint and self._layer is not None:
            scores = dependent_scores(self._layer, self._y_pred)
            logs |= {task: -loss for task, loss in self._layer.losses_by_task(scores, joint).items()}
        labels = {task: values for task, (values, _) in evidence.items()}
        return labels, logs, {task: mask for task, (_, mask) in evidence.items()}

    @property
    def _dependent(self) -> tuple[str, ...]:
        return () if self._layer is None else self._layer.tasks

    @functools.cached_property
    def _mode(self) -> dict[str, Any]:
        layer: Any = self._layer
        return layer.mode(dependent_scores(layer, self._y_pred), {})

    def _alone(self, task: str, known: tuple[Any, Any]) -> Any:
        """Returns the log-likelihood of the labels of a task that depends on no other."""
        objective = self._objectives[task]
        logs = objective.head.class_log_probabilities(answer(self._y_pred, task).scores(objective.layer))
        evidence = log_evidence({task: known}, {task: logs.shape[-1]})[task]
        return ops.logsumexp(logs + evidence, axis=-1)

    def _judged(self, answers: dict[str, Any]) -> tuple[dict, dict, dict]:
        right, masks = {}, {}
        for task in answers:
            if task not in self._labels:
                objective, outputs = self._objectives[task], self._y_pred[task]
                outputs = objective.head.in_a_row(outputs, 1)
                found = objective.labels(self._y_true[task], outputs)
                found = objective.judged(self._y_true[task], outputs, *found)
                self._labels[task] = objective.head.metric_targets(found[0]), found[1]
            right[task], masks[task] = self._labels[task]
        return right, answers, masks
