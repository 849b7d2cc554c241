"""What heads of numbers have in common."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras

from mtlkeras._fields import whole_number
from mtlkeras._types import Tensor
from mtlkeras.heads._regression_losses import check_numbers
from mtlkeras.layers.output import RegressionOutput

_METRICS = {
    "mae": keras.metrics.MeanAbsoluteError,
    "rmse": keras.metrics.RootMeanSquaredError,
    "mse": keras.metrics.MeanSquaredError,
    "mape": keras.metrics.MeanAbsolutePercentageError,
}


@dataclasses.dataclass(frozen=True, repr=False)
class Numbers:
    """One or several numbers for an example or a pixel, learnt on a standardised scale.

    It stands before a base of heads. Its fields are told of in `Regression`.
    """

    default_metrics: ClassVar[tuple[str, ...]] = ("mae",)
    metric_names: ClassVar[tuple[str, ...]] = (*_METRICS, "r2")
    r_squared: ClassVar[Any]
    """The metric R², made of the number of targets."""

    num_targets: int = 1
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    loss_kind: str = "mse"
    huber_delta: float = 1.0
    quantile: float | tuple[float, ...] = 0.5

    def validate(self) -> None:
        super().validate()  # type: ignore[misc]
        whole_number(type(self).__name__, "num_targets", self.num_targets)
        check_numbers(self, self.num_targets)

    @property
    def noise(self) -> str:
        return "variance" if self.loss_kind == "mse" else "scale"

    @property
    def units(self) -> int:
        return self.num_targets

    def output_layer(self, task: str) -> RegressionOutput:
        return RegressionOutput(self, name=task)  # type: ignore[arg-type]

    def activate(self, scores: Tensor) -> Tensor:
        """Returns the scores: mean and scale are the layer's."""
        return scores

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "r2":
            return type(self).r_squared(self.num_targets, name=name)
        if name in _METRICS:
            return _METRICS[name](name=name, dtype="float32")
        return super().metric(name)  # type: ignore[misc]
