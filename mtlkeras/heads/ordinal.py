"""Ordered classes."""

from __future__ import annotations

from typing import ClassVar

import keras
from keras import ops

from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.features import Features
from mtlkeras.heads._class_weights import WeighedClasses, check_class_weight, class_weight_tensor
from mtlkeras.heads._labels import ClassLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.layers.ordinal_classes import OrdinalClasses, OrdinalMarginals, log_classes
from mtlkeras.layers.output import OrdinalOutput, TaskOutput
from mtlkeras.metrics import OrdinalAccuracy, OrdinalError, OrdinalScore, QuadraticKappa
from mtlkeras.metrics.ordinal import predicted_rank
from mtlkeras.specs import spec


@spec
class Ordinal(WeighedClasses, Head):
    """Predicts one of several ordered classes by cumulative logits.

    One score s per example and ordered thresholds t_1 < ... < t_(K-1) give
    P(class > k) = sigmoid(s - t_k), which never rises with k, so the class probabilities
    are never negative and the predicted rank is consistent. The loss is the sum over k of
    the binary cross-entropy of "class > k".

    The output is the class probabilities, shape `(batch, num_classes)`, lowest class
    first. Labels are ranks 0 to K-1 of shape `(batch,)` or `(batch, 1)`; `mtlkeras.MISSING`
    or NaN where unknown. The decoded answer is the median of the distribution.

    Args:
        num_classes: Number of classes, at least 3.
        class_names: Names of the classes, lowest first.
        class_weight: Weight of the loss by class index or name, others weighing 1; a weight for
            each class; or `"balanced"`, as for `Classification`.

    Metrics: `"accuracy"` and `"mae"` (distance in ranks), both by default, `"balanced_accuracy"` and
    `"kappa"` (Cohen's, with quadratic weights), all of the decoded answer.

    References:
        - McCullagh 1980, Regression Models for Ordinal Data (proportional odds, eq. 1.2).
        - Cao, Mirjalili and Raschka 2020, Rank consistent ordinal regression (CORAL,
          eq. 4). There the biases end up ordered at the optimum; here by construction.

    Example:

    ```python
    head = mtlkeras.heads.Ordinal(3, class_names=("low", "middle", "high"))
    ```
    """

    default_metrics: ClassVar = ("accuracy", "mae")
    metric_names: ClassVar = ("accuracy", "mae", "balanced_accuracy", "kappa")

    num_classes: int
    class_names: tuple[str, ...] | None = None
    class_weight: dict | tuple[float, ...] | str | None = None

    def validate(self) -> None:
        super().validate()
        if self.num_classes < 3:
            raise ValueError(
                f"Ordinal: num_classes must be at least 3 (two classes have no order to learn: use "
                f"Classification); received {self.num_classes}."
            )
        check_class_names("Ordinal", self.class_names, self.num_classes, "class_names")
        check_class_weight(self)

    @property
    def units(self) -> int:
        return 1

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.class_names

    @property
    def answer_classes(self) -> tuple[int, ...]:
        return (self.num_classes,)

    def class_scores(self, scores: Tensor, task: str) -> Tensor:
        return OrdinalClasses(self.num_classes, name=f"{task}_classes")(scores)

    def class_log_probabilities(self, scores: Tensor) -> Tensor:
        return log_classes(scores)

    def output(self, scores: Tensor, features: Features, task: str) -> Tensor:
        if scores.shape[-1] == self.num_classes:  # At least 3: from a dependence, of each class one.
            return OrdinalMarginals(self, name=task)(scores)
        return super().output(scores, features, task)

    def output_layer(self, task: str) -> OrdinalOutput:
        return OrdinalOutput(self, name=task)

    def output_shape(self, score_shape: tuple) -> tuple:
        return (*score_shape[:-1], self.num_classes)

    def activate(self, scores: Tensor) -> Tensor:
        edge = ops.ones_like(scores[:, :1])
        above = ops.concatenate([edge, ops.sigmoid(scores), 0.0 * edge], axis=-1)
        return above[:, :-1] - above[:, 1:]

    def invert(self, outputs: Tensor) -> Tensor:
        below = ops.clip(ops.cumsum(outputs, axis=-1)[:, :-1], 1e-7, 1.0 - 1e-7)
        return ops.log1p(-below) - ops.log(below)

    @property
    def label_form(self) -> ClassLabels:
        return ClassLabels(self.num_classes, what="ranks")

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        above = ops.cast(
            ops.expand_dims(targets, -1) > ops.arange(self.num_classes - 1, dtype="int32"), "float32"
        )
        values = ops.sum(ops.binary_crossentropy(above, scores, from_logits=True), axis=-1)
        return self.weigh(values, targets, layer)

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        return ops.take(class_weight_tensor(self, class_weight), targets)

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return OrdinalAccuracy(name=name)
        if name == "mae":
            return OrdinalError(name=name)
        if name == "balanced_accuracy":
            return OrdinalScore(self.num_classes, name, name=name)
        if name == "kappa":
            return QuadraticKappa(self.num_classes, name=name)
        return super().metric(name)

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        rank = predicted_rank(outputs)
        return {"": rank, "probability": ops.take_along_axis(outputs, rank[:, None], axis=-1)[:, 0]}
