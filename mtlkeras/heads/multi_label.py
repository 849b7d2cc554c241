"""Several yes/no labels at once."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras._fields import whole_number
from mtlkeras._types import Tensor
from mtlkeras.heads._class_weights import is_balanced
from mtlkeras.heads._focal import check_gamma, focal_binary_crossentropy
from mtlkeras.heads._labels import YesNoLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.layers.output import TaskOutput
from mtlkeras.metrics import LabelMatch, LabelScore, LogLoss, RankScore
from mtlkeras.specs import spec


@spec
class MultiLabel(Head):
    """Decides on `num_labels` yes/no labels that can hold together.

    The output is the probability of each label, shape `(batch, num_labels)`; the loss is
    the binary cross-entropy, from the logits, averaged over an example's known entries.
    Labels are 0/1 rows of that shape; each entry may be missing alone (`mtlkeras.MISSING`
    or NaN).

    Args:
        num_labels: Number of labels.
        label_names: Names of the labels, by index.
        threshold: Probability from which a label is decoded as "yes".
        positive_weight: Weight of the "yes" entries in the loss, one number or one a label.
            `"balanced"` takes n_no / n_yes of each label from the labels that `fit` trains on.
        focal_gamma: Focusing parameter of the focal loss -(1 - p)^gamma log p (Lin et al. 2017,
            Focal Loss for Dense Object Detection, eq. 4) of each entry; 0 is the cross-entropy.

    Metrics, over the known entries: at the threshold `"accuracy"` (default), `"f1"`, `"precision"`,
    `"recall"` (mean over the labels) and `"exact_match"` (share of the examples without a wrong
    entry); `"auc"` (mean over the labels of the area under the ROC curve), `"average_precision"`
    (mean over the labels) and `"log_loss"`. See `mtlkeras.metrics`.

    Example:

    ```python
    head = mtlkeras.heads.MultiLabel(2, label_names=("rust", "miner"), positive_weight=3.0)
    ```
    """

    default_metrics: ClassVar = ("accuracy",)
    metric_names: ClassVar = (
        "accuracy",
        "auc",
        "f1",
        "precision",
        "recall",
        "average_precision",
        "log_loss",
        "exact_match",
    )

    num_labels: int
    label_names: tuple[str, ...] | None = None
    threshold: float = 0.5
    positive_weight: float | tuple[float, ...] | str = 1.0
    focal_gamma: float = 0.0

    def validate(self) -> None:
        super().validate()
        whole_number("MultiLabel", "num_labels", self.num_labels)
        check_class_names("MultiLabel", self.label_names, self.num_labels, "label_names")
        if not 0 < self.threshold < 1:
            raise ValueError(f"MultiLabel: threshold must be between 0 and 1; received {self.threshold}.")
        check_gamma("MultiLabel", self.focal_gamma)
        if is_balanced(self.positive_weight, "MultiLabel: positive_weight"):
            return
        weights = np.atleast_1d(np.asarray(self.positive_weight, "float32"))
        if (
            weights.shape not in ((1,), (self.num_labels,))
            or not (np.isfinite(weights) & (weights >= 0)).all()
        ):
            raise ValueError(
                f"MultiLabel: positive_weight must be a number or {self.num_labels} numbers, finite and not "
                f"negative; received {self.positive_weight}."
            )

    @property
    def units(self) -> int:
        return self.num_labels

    @property
    def answer_classes(self) -> tuple[int, ...]:
        return (2,) * self.num_labels

    def class_log_probabilities(self, scores: Tensor) -> Tensor:
        return ops.stack([ops.log_sigmoid(-scores), ops.log_sigmoid(scores)], axis=-1)

    def activate(self, scores: Tensor) -> Tensor:
        return ops.sigmoid(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        outputs = ops.clip(outputs, 1e-7, 1.0 - 1e-7)
        return ops.log(outputs) - ops.log1p(-outputs)

    @property
    def label_form(self) -> YesNoLabels:
        return YesNoLabels(self.num_labels)

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        if self.focal_gamma:
            values = focal_binary_crossentropy(targets, scores, self.focal_gamma)
        else:
            values = ops.binary_crossentropy(targets, scores, from_logits=True)
        return self.weigh(values, targets, layer)

    def weigh(self, values: Tensor, targets: Tensor, layer: TaskOutput) -> Tensor:
        if self.balanced:
            weight = layer.balanced_weights()
        elif self.positive_weight == 1.0:
            return values
        else:
            weight = ops.convert_to_tensor(np.asarray(self.positive_weight, "float32"))
        return values * (1.0 + targets * (weight - 1.0))

    @property
    def balanced(self) -> int:
        return self.num_labels if is_balanced(self.positive_weight, "positive_weight") else 0

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "log_loss":
            return LogLoss(name=name)
        if name == "exact_match":
            return LabelMatch(self.threshold, name=name)
        if name in ("auc", "average_precision"):
            return RankScore(self.num_labels, name, name=name)
        if name in self.metric_names:
            return LabelScore(self.num_labels, name, self.threshold, name=name)
        return super().metric(name)

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"": ops.cast(outputs >= self.threshold, "int32"), "probability": outputs}

    def labels(self, outputs: np.ndarray, layer: TaskOutput) -> np.ndarray:
        """Returns per example the tuple of names (or indices) of the labels that hold."""
        names: tuple = self.label_names or tuple(range(self.num_labels))
        answers = np.empty(len(outputs), object)
        for i, row in enumerate(np.asarray(outputs) >= self.threshold):
            answers[i] = tuple(name for name, yes in zip(names, row, strict=True) if yes)
        return answers
