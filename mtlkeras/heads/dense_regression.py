"""One or several numbers for every pixel."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.heads._dense import DenseHead
from mtlkeras.heads._labels import PixelNumbers
from mtlkeras.heads._numbers import Numbers
from mtlkeras.heads._regression_losses import regression_loss
from mtlkeras.metrics import PixelR2
from mtlkeras.specs import spec


@spec
class DenseRegression(Numbers, DenseHead):
    """Predicts one or several numbers for each pixel: a depth, a distance, a heat map (Eigen et al. 2014).

    Decoders are those of `mtlkeras.heads.Segmentation`, losses and scale those of
    `mtlkeras.heads.Regression`: the network learns z = (label - mean) / scale, and the output is
    `z * scale + mean`, in label units, shape `(batch, height, width, num_targets)`. Mean and scale are kept
    in the model: give them here, or let `model.adapt(...)` take them from the labels of all pixels.

    Labels are numbers of the output's shape, or `(batch, height, width)` for one target. NaN is a missing
    label, in labels of a whole-number type so is `mtlkeras.MISSING`. The task's loss is the mean over the
    labels of all pixels of the batch; a sample weight is one an example, or one a label.

    Args:
        num_targets: How many numbers a pixel has.
        mean: Mean of the labels, one number or one a target, in label units.
        scale: Standard deviation of the labels, likewise, above zero.
        loss_kind: `"mse"`, `"mae"`, `"huber"`, `"log_cosh"` or `"quantile"`, as for
            `mtlkeras.heads.Regression`.
        huber_delta: Where `"huber"` turns linear, in scale units, above zero.
        quantile: Quantile that `"quantile"` learns, between 0 and 1; or one a target.
        taps: As for `mtlkeras.heads.Segmentation`, like `decoder`, `width` and `size`.

    Metrics, in label units and over all known labels: `"mae"` (default), `"mse"`, `"rmse"`, `"mape"` and
    `"r2"` (the mean over the targets).

    Raises:
        ValueError: For fields that do not fit; when a model is built, if the trunk gives no maps, or there is
            no one picture whose size the output could have.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(32, 32, 3),
        trunk=mtlkeras.trunks.ResNet(depth=8, width=8),
        heads={"depth": mtlkeras.heads.DenseRegression(mean=3.0, scale=1.5, loss_kind="huber")},
    )
    model.output["depth"].shape  # (None, 32, 32, 1)
    ```
    """

    r_squared: ClassVar = PixelR2

    @property
    def label_form(self) -> PixelNumbers:
        return PixelNumbers(self.num_targets)

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        error = self.by_pixel(scores) - layer.standardize(self.by_pixel(targets))
        return ops.reshape(regression_loss(self, error), ops.shape(targets))
