"""One task's part of the joint objective: labels, losses and their exact means."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras.heads.base import Head
from mtlkeras.layers.output import TaskOutput


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
        self._loss = None if loss is None else _per_example(task, loss)

    def labels(self, y: Any, outputs: Any) -> tuple[Any, Any]:
        """Returns targets in the head's form and the mask of the labels that are there.

        Args:
            y: Labels as the user gives them.
            outputs: The task's outputs.

        Raises:
            ValueError: If the labels' shape does not fit the head.
        """
        y = ops.convert_to_tensor(y)
        try:
            mask = self.head.labelled(y)
            return self.head.targets(y, mask), self.head.within(mask, outputs)
        except ValueError as error:
            raise ValueError(f"Labels of task '{self.task}': {error}") from None

    def loss_sum(
        self, y: Any, outputs: Any, sample_weight: Any = None, class_weight: dict | None = None
    ) -> tuple[Any, Any]:
        """Returns the sum of the losses of the labelled examples, and how many they are.

        An example with several entries counts with the mean over its known entries. An
        example of zero sample weight counts as not labelled.

        Args:
            y: Labels as the user gives them.
            outputs: The task's outputs.
            sample_weight: Weights of the examples, shape `(batch,)`, or `None`.
            class_weight: Weights by class index or name, or `None`.

        Returns:
            Two float32 scalars.
        """
        targets, mask = self.labels(y, outputs)
        values = self._values(targets, outputs)
        if class_weight:
            values = values * self.head.weigh_classes(targets, class_weight)
        values, counted = self.head.by_unit(values, mask)
        if sample_weight is not None:
            sample_weight = example_weights(sample_weight)
            if len(values.shape) == 2:  # A weight of an example is that of each of its units.
                sample_weight = ops.expand_dims(sample_weight, -1)
            counted = ops.logical_and(counted, ops.not_equal(sample_weight, 0.0))
            values = ops.where(counted, values * sample_weight, 0.0)
        return ops.sum(values), ops.sum(ops.cast(counted, "float32"))

    def no_labels(self, outputs: Any) -> tuple[Any, Any]:
        """Returns what `loss_sum` gives for a batch that has no labels for the task.

        The zero still depends on the outputs and on the last layer's weights, so that the head's
        weights get zero gradients, as they do in a batch whose labels are all missing, and not none.
        """
        tensors = [outputs, *(weight + 0.0 for weight in self.layer.trainable_weights)]
        return sum(ops.sum(ops.where(False, tensor, 0.0)) for tensor in tensors), ops.zeros(())

    def _values(self, targets: Any, outputs: Any) -> Any:
        if self._loss is None:
            return self.head.loss(targets, self.layer.scores_for(outputs), self.layer)
        outputs = ops.cast(outputs, "float32")
        if self.head.by_entry:  # Keras' losses reduce the last axis: give each entry its own.
            targets, outputs = ops.expand_dims(targets, -1), ops.expand_dims(outputs, -1)
        values = ops.cast(self._loss(targets, outputs), "float32")
        if len(values.shape) != self.head.loss_rank:
            raise ValueError(
                f"The loss of task '{self.task}' must give one value per example; "
                f"it gave shape {tuple(values.shape)}."
            )
        return values


def example_weights(sample_weight: Any) -> Any:
    """Returns sample weights as float32 of shape `(batch,)`."""
    weights = ops.cast(sample_weight, "float32")
    return ops.squeeze(weights, -1) if len(weights.shape) == 2 and weights.shape[-1] == 1 else weights


def _per_example(task: str, identifier: Any) -> Any:
    """Returns a function of labels and outputs that gives one value per example."""
    loss = keras.losses.get(identifier)
    if not isinstance(loss, keras.losses.Loss):
        return loss
    if loss.reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
        raise ValueError(
            f"loss of task '{task}': reduction='{loss.reduction}' does not fit, since a task's loss is the "
            f"mean over its labelled examples. Use the default reduction, and loss_weights to scale."
        )
    return loss.call
