"""What a student learns from a teacher: heads whose labels are the teacher's outputs."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.heads import Classification, Head, MultiLabel, Regression
from mtlkeras.heads._labels import ClassLabels, LabelForm, NumberLabels
from mtlkeras.specs import spec

_LEAST = 1e-37


@spec
class SoftClasses(Head):
    """One class of several: T^2 KL(p_T || q_T) of the teacher's and the student's softmax at a temperature T.

    Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2. Labels are the
    teacher's probabilities at T = 1, whose logarithms are its logits up to what a softmax passes over.
    """

    num_classes: int
    temperature: float

    @property
    def units(self) -> int:
        return self.num_classes

    @property
    def label_form(self) -> LabelForm:
        return ClassLabels(self.num_classes, rows=True)

    def activate(self, scores: Tensor) -> Tensor:
        return ops.softmax(scores)

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        of_teacher = ops.log_softmax(ops.log(ops.maximum(targets, _LEAST)) / self.temperature)
        of_student = ops.log_softmax(scores / self.temperature)
        divergence = ops.sum(ops.exp(of_teacher) * (of_teacher - of_student), axis=-1)
        return self.temperature**2 * divergence


@spec
class SoftLabels(Head):
    """Several yes/no labels: T^2 times the mean of KL over the labels, each at a temperature T.

    Labels are the teacher's probabilities at T = 1.
    """

    num_labels: int
    temperature: float

    @property
    def units(self) -> int:
        return self.num_labels

    @property
    def label_form(self) -> LabelForm:
        return NumberLabels(self.num_labels)

    def activate(self, scores: Tensor) -> Tensor:
        return ops.sigmoid(scores)

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        given = ops.clip(targets, 1e-7, 1.0 - 1e-7)
        logits = (ops.log(given) - ops.log1p(-given)) / self.temperature
        scores = scores / self.temperature
        yes = ops.sigmoid(logits) * (ops.log_sigmoid(logits) - ops.log_sigmoid(scores))
        no = ops.sigmoid(-logits) * (ops.log_sigmoid(-logits) - ops.log_sigmoid(-scores))
        return self.temperature**2 * (yes + no)


@spec
class SameDirection(Head):
    """Features: |a / |a| - b / |b||^2 of the student's, projected, and the teacher's.

    Li and Bilen 2020, Knowledge Distillation for Multi-task Learning, eq. 4; the projection is the head's
    dense layer. Labels are the teacher's features.
    """

    width: int

    @property
    def units(self) -> int:
        return self.width

    @property
    def label_form(self) -> LabelForm:
        return NumberLabels(self.width)

    def activate(self, scores: Tensor) -> Tensor:
        return scores

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        # The loss of an example is the mean over its entries.
        return self.width * ops.square(_unit(scores) - _unit(targets))


def _unit(rows: Tensor) -> Tensor:
    square = ops.sum(ops.square(rows), axis=-1, keepdims=True)
    return rows * ops.rsqrt(ops.maximum(square, 1e-12))


def soft_head(task: str, head: Head, layer: Any, temperature: float) -> Head:
    """Returns what learns a teacher's outputs for a task.

    Args:
        task: The task.
        head: The student's head.
        layer: The student's output layer, which knows the scale of numbers.
        temperature: The temperature.

    Raises:
        ValueError: If there is none for a head of that kind.
    """
    if isinstance(head, Classification):
        return SoftClasses(head.num_classes, temperature)
    if isinstance(head, MultiLabel):
        return SoftLabels(head.num_labels, temperature)
    if isinstance(head, Regression):
        mean, scale = (tuple(ops.convert_to_numpy(v).tolist()) for v in (layer.mean, layer.scale))
        return Regression(head.num_targets, mean=mean, scale=scale, metrics=())
    raise ValueError(
        f"distil: the head of task '{task}' is {type(head).__name__}; heads that learn from a teacher are "
        "Classification, MultiLabel and Regression."
    )
