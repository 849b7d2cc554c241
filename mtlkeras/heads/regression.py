"""One or several numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras.heads._labels import NumberLabels
from mtlkeras.heads.base import Head
from mtlkeras.layers.output import RegressionOutput
from mtlkeras.specs import spec

LOSSES = ("mse", "mae", "huber")


@spec
class Regression(Head):
    """Predicts one or several numbers, learnt on a standardised scale.

    The network learns z = (label - mean) / scale; the output is `z * scale + mean`, in
    label units, shape `(batch, num_targets)`. The loss is that of z, so that tasks of any
    unit weigh alike. Mean and scale are kept in the model: give them here, or let
    `model.adapt(...)` take them from the labels.

    Labels are numbers of shape `(batch, num_targets)`, or `(batch,)` for one target. NaN is
    a missing label; in labels of a whole-number type so is `mtlkeras.MISSING`, so give
    floats where -1 is a value.

    Args:
        num_targets: How many numbers.
        mean: Mean of the labels, one number or one a target, in label units.
        scale: Standard deviation of the labels, likewise, above zero.
        loss_kind: `"mse"` (squared error), `"mae"` (absolute error) or `"huber"` (squared
            up to one scale unit, then absolute).

    Metrics, in label units: `"mae"` (default), `"rmse"`, `"r2"` (for labels without gaps).

    Example:

    ```python
    head = mtlkeras.heads.Regression(mean=21.5, scale=10.1)
    ```
    """

    default_metrics: ClassVar = ("mae",)
    metric_names: ClassVar = ("mae", "rmse", "r2")

    num_targets: int = 1
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    loss_kind: str = "mse"

    def validate(self) -> None:
        super().validate()
        if self.num_targets < 1:
            raise ValueError(f"Regression: num_targets must be at least 1; received {self.num_targets}.")
        for field in ("mean", "scale"):
            values = np.atleast_1d(np.asarray(getattr(self, field), "float64"))
            if values.shape not in ((1,), (self.num_targets,)) or not np.isfinite(values).all():
                raise ValueError(
                    f"Regression: {field} must be a finite number or {self.num_targets} of them; "
                    f"received {getattr(self, field)}."
                )
        if (np.asarray(self.scale) <= 0).any():
            raise ValueError(f"Regression: scale must be above zero; received {self.scale}.")
        if self.loss_kind not in LOSSES:
            raise unknown_name("loss", self.loss_kind, LOSSES, "loss_kind= of Regression")

    @property
    def noise(self) -> str:
        return "variance" if self.loss_kind == "mse" else "scale"

    @property
    def units(self) -> int:
        return self.num_targets

    def output_layer(self, task: str) -> RegressionOutput:
        return RegressionOutput(self, name=task)

    @property
    def label_form(self) -> NumberLabels:
        return NumberLabels(self.num_targets)

    def loss(self, targets: Any, scores: Any, layer: Any) -> Any:
        error = scores - layer.standardize(targets)
        if self.loss_kind == "mse":
            return ops.square(error)
        size = ops.absolute(error)
        if self.loss_kind == "mae":
            return size
        return ops.where(size <= 1.0, 0.5 * ops.square(error), size - 0.5)

    def metric(self, name: str) -> keras.metrics.Metric:
        metrics = {
            "mae": keras.metrics.MeanAbsoluteError,
            "rmse": keras.metrics.RootMeanSquaredError,
            "r2": keras.metrics.R2Score,
        }
        return metrics[name](name=name) if name in metrics else super().metric(name)
