"""One task's part of the joint objective: labels, losses and their exact means."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._backends import check_same_length
from mtlkeras._model.given_functions import GivenLoss, TaskView
from mtlkeras._model.label_arrays import arranged_weights
from mtlkeras._model.outputs import Answer
from mtlkeras.heads.base import Head
from mtlkeras.layers.output import TaskOutput

# Equal to no class, and not missing.
_NO_CLASS = -2


class TaskObjective:
    """How one task's outputs are compared with its labels.

    Args:
        task: Name of the task.
        layer: The task's output layer, which carries the head.
        loss: A loss that stands in for the head's own: a `keras.losses.Loss`, a function of
            labels and outputs that gives one value per example, or a name known to Keras.
        weight: Weight of the task's loss in the joint objective.
    """

    def __init__(self, task: str, layer: TaskOutput, loss: Any = None, weight: float = 1.0) -> None:
        self.task = task
        self.layer = layer
        self.head: Head = layer.head
        self.weight = weight
        self.view = TaskView(task, layer)
        self._loss = None if loss is None else GivenLoss(self.view, loss)

    def labels(self, y: Any, outputs: Any) -> tuple[Any, Any]:
        """Returns targets in the head's form and the mask of the labels that are there.

        Args:
            y: Labels as the user gives them.
            outputs: The task's outputs, those of pixels in a row.

        Raises:
            ValueError: If the labels' shape does not fit the head.
        """
        y = self._of_one_length(y, outputs)
        try:
            mask = self.head.labelled(y)
            return self.head.targets(y, mask), self.head.within(mask, outputs)
        except ValueError as error:
            raise ValueError(f"Labels of task '{self.task}': {error}") from None

    def _of_one_length(self, y: Any, outputs: Any) -> Any:
        """Returns labels as a tensor, those of sequences only if they have as many steps as the outputs."""
        y = self.head.in_a_row(ops.convert_to_tensor(y))
        by_place = self.view.of_steps or self.head.kind == "map"
        if by_place and len(y.shape) > 1 and None in (y.shape[1], outputs.shape[1]):
            expected = "they have not as many steps as the outputs: pad both alike."
            return check_same_length(y, outputs, f"Labels of task '{self.task}': {expected}")
        return y

    def judged(self, y: Any, outputs: Any, targets: Any, mask: Any) -> tuple[Any, Any]:
        """Returns what `labels` does for measures of right and wrong.

        There a label that is known to be none of the classes counts, and equals no answer.

        Args:
            y: Labels as the user gives them.
            outputs: The task's outputs.
            targets: First result of `labels`.
            mask: Second result of `labels`.
        """
        form = self.head.label_form
        unseen = form.unseen(form.arranged(self._of_one_length(y, outputs)))
        if unseen is None:
            return targets, mask
        return ops.where(unseen, _NO_CLASS, targets), ops.logical_or(mask, self.head.within(unseen, outputs))

    def weights(self, sample_weight: Any, mask: Any) -> Any:
        """Returns sample weights as float32, of shape `(batch,)` or that of the mask.

        Raises:
            ValueError: If they have another shape.
        """
        weights = self.head.in_a_row(ops.cast(ops.convert_to_tensor(sample_weight), "float32"))
        return arranged_weights(self.task, self.head, weights, mask.shape)

    def loss_sum(
        self,
        y: Any,
        answer: Answer,
        sample_weight: Any = None,
        class_weight: Any = None,
        joint: Any = None,
    ) -> tuple[Any, Any]:
        """Returns the sum of the losses of the labelled examples, and how many they are.

        An example with several entries counts with the mean over its known entries, in a dependence with
        their sum. An example or label of zero sample weight counts as not labelled.

        Args:
            y: Labels as the user gives them.
            answer: The task's outputs, with their scores where they are known.
            sample_weight: Weights of the examples, shape `(batch,)`, or of the labels, or `None`.
            class_weight: Weights by class index, shape `(classes,)`, or `None`.
            joint: Losses of a dependence between tasks in place of the head's own, or `None`.

        Returns:
            Two float32 scalars.
        """
        targets, mask = self.labels(y, self.head.in_a_row(answer.output, 1))
        weights = None if sample_weight is None else self.weights(sample_weight, mask)
        by_label = None if weights is None or len(weights.shape) == 1 else weights
        if by_label is not None:
            mask = ops.logical_and(mask, ops.not_equal(by_label, 0.0))
            if self.head.label_form.unknown is not None:
                unknown = ops.cast(self.head.label_form.unknown, targets.dtype)
                targets = ops.where(mask, targets, unknown)
        legal = self.head.label_form.legal(targets)
        if legal is not None:
            targets = ops.where(legal, targets, ops.zeros_like(targets))
        values, mask = self._values(targets, mask, answer, joint)
        values = self._only_legal(values, legal, mask)
        if class_weight is not None:
            values = values * self.head.weigh_classes(targets, ops.convert_to_tensor(class_weight))
        if by_label is not None and len(values.shape) == 2:
            values = ops.where(mask, values * by_label, 0.0)
        elif by_label is not None and len(mask.shape) == 1:
            raise ValueError(
                f"sample_weight of task '{self.task}': a loss of whole rows takes one weight an example, "
                f"shape (batch,); received shape {tuple(by_label.shape)}."
            )
        values, counted = self._by_unit(values, mask, joint)
        if weights is not None and by_label is None:
            if len(values.shape) == 2:  # A weight of an example is that of each of its units.
                weights = ops.expand_dims(weights, -1)
            counted = ops.logical_and(counted, ops.not_equal(weights, 0.0))
            values = ops.where(counted, values * weights, 0.0)
        return ops.sum(values), ops.sum(ops.cast(counted, "float32"))

    def losses(self, y: Any, answer: Answer) -> tuple[Any, Any]:
        """Returns the loss of each unit that the task's mean is over, and which of them have a label.

        An example is one unit, or each of its steps or pixels where the head counts those.

        Args:
            y: Labels, checked.
            answer: The task's outputs, with their scores where they are known.
        """
        targets, mask = self.labels(y, self.head.in_a_row(answer.output, 1))
        values, mask = self._values(targets, mask, answer, None)
        return self._by_unit(values, mask, None)

    def _by_unit(self, values: Any, mask: Any, joint: Any) -> tuple[Any, Any]:
        """Returns the values of what the task's mean is over, and which of them count."""
        if self._loss is None and joint is not None and len(mask.shape) == 2:
            # The sum, so that the losses of all tasks add up to that of all labels together.
            return ops.sum(ops.where(mask, values, 0.0), axis=-1), ops.any(mask, axis=-1)
        if self._loss is None or not self.view.of_steps:
            return self.head.by_unit(values, mask)
        counted = mask if len(values.shape) == 2 else ops.any(mask, axis=-1)
        return ops.where(counted, values, 0.0), counted

    def _only_legal(self, values: Any, legal: Any, mask: Any) -> Any:
        """Returns the values with NaN for labels that the head does not know.

        Labels are checked on the way in; in a loop of the caller's own, a loss that is no number is
        better than one that looks like one.
        """
        if legal is None:
            return values
        if len(legal.shape) == 2 and len(mask.shape) == 2:
            legal = ops.logical_or(legal, ops.logical_not(mask))
        if len(legal.shape) > len(values.shape):
            legal = ops.all(legal, axis=-1)
        return ops.where(legal, values, float("nan"))

    def no_labels(self, outputs: Any) -> tuple[Any, Any]:
        """Returns what `loss_sum` gives for a batch that has no labels for the task.

        The zero still depends on the outputs and on the last layer's weights, so that the head's
        weights get zero gradients, as they do in a batch whose labels are all missing, and not none.
        """
        tensors = [outputs, *(weight + 0.0 for weight in self.layer.trainable_weights)]
        zeros = [ops.sum(ops.cast(ops.where(False, tensor, 0.0), "float32")) for tensor in tensors]
        return sum(zeros), ops.zeros((), "float32")

    def evidence(self, y: Any, outputs: Any) -> tuple[Any, Any]:
        """Returns what `labels` does, in which no label counts that the head does not know."""
        targets, mask = self.labels(y, outputs)
        legal = self.head.label_form.legal(targets)
        if legal is None:
            return targets, mask
        if len(legal.shape) > len(mask.shape):
            legal = ops.all(legal, axis=-1)
        return targets, ops.logical_and(mask, legal)

    def _values(self, targets: Any, mask: Any, answer: Answer, joint: Any) -> tuple[Any, Any]:
        if self._loss is None and joint is not None:
            return self.head.weigh(joint, targets, self.layer), mask
        if self._loss is None:
            scores = self.head.in_a_row(answer.scores(self.layer), 1)
            return self.head.loss(targets, scores, self.layer), mask
        return self._loss(targets, mask, answer)
