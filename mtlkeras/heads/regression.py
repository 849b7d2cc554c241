"""One or several numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from mtlkeras._types import Tensor
from mtlkeras.heads._labels import NumberLabels
from mtlkeras.heads._numbers import Numbers
from mtlkeras.heads._regression_losses import regression_loss
from mtlkeras.heads.base import Head
from mtlkeras.metrics import R2
from mtlkeras.specs import spec


@spec
class Regression(Numbers, Head):
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
        loss_kind: Of the standardised error: `"mse"` (squared), `"mae"` (absolute), `"huber"` (half
            the square up to `huber_delta`, then linear; Huber 1964, Robust Estimation of a
            Location Parameter), `"log_cosh"` (log of its cosh: smooth between the first two) or
            `"quantile"` (which gives quantiles; Koenker and Bassett 1978, Regression Quantiles).
        huber_delta: Where `"huber"` turns linear, in scale units, above zero.
        quantile: Quantile that `"quantile"` learns, between 0 and 1; or one a target: with the
            same label in each, `quantile=(0.1, 0.9)` learns the bounds of an 80% interval.

    Metrics, in label units and over all known entries: `"mae"` (default), `"mse"`, `"rmse"`, `"mape"`
    (mean absolute error in percent of the label) and `"r2"` (R², the mean over the targets).

    Example:

    ```python
    head = mtlkeras.heads.Regression(mean=21.5, scale=10.1)
    ```
    """

    r_squared: ClassVar = R2

    @property
    def label_form(self) -> NumberLabels:
        return NumberLabels(self.num_targets)

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        return regression_loss(self, scores - layer.standardize(targets))
