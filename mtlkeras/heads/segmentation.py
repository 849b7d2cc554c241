"""A class, or several yes and no, for every pixel."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from mtlkeras._fields import whole_number
from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.heads._class_weights import WeighedClasses, check_class_weight, class_weight_tensor
from mtlkeras.heads._dense import DenseHead
from mtlkeras.heads._focal import check_gamma
from mtlkeras.heads._labels import LabelForm
from mtlkeras.heads._pixel_losses import check_losses
from mtlkeras.heads._pixels import PixelClasses, PixelMasks
from mtlkeras.heads.base import check_class_names
from mtlkeras.layers.output import TaskOutput
from mtlkeras.metrics import TokenAccuracy
from mtlkeras.specs import spec


@spec
class Segmentation(WeighedClasses, DenseHead):
    """Gives each pixel one of `num_classes`, from the maps of an image trunk's taps (Long et al. 2015).

    A decoder reads one map of each size and brings them together; its scores are resized to the picture. The
    output has shape `(batch, height, width, num_classes)`, the softmax over the classes; labels are class
    indices of shape `(batch, height, width)`, with `mtlkeras.MISSING` (or NaN) where a pixel has none.

    With `exclusive=False` the classes are masks that may overlap, each with a yes or no for every pixel: the
    output is the sigmoid of each score, labels are 0 or 1 of the output's shape (or without its last axis for
    one mask), each of which may be missing alone.

    The task's loss is the mean over the labelled pixels of the batch, of masks over the labels of all pixels.
    A sample weight is one an example, or one a label.

    Args:
        num_classes: Number of classes, at least 2, or of masks.
        exclusive: Whether a pixel has just one of the classes.
        class_names: Their names, for what a person reads and for the metrics of one class.
        loss_kind: A loss, or several, which are added up: `"crossentropy"`; `"focal"`, which is
            -(1 - p)^gamma log p (Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 4); and
            `"dice"`, 1 - (2 sum g p + 1) / (sum g + sum p + 1) of labels g and probabilities p over the
            labelled pixels of a picture, the mean over the classes (Sudre et al. 2017, section 2), which
            counts for each of these pixels.
        focal_gamma: Focusing parameter of `"focal"`.
        class_weight: As for `mtlkeras.heads.Classification`, over pixels; it weighs cross-entropy and focal
            loss. Of masks it is the weight of a yes, by index or name, and cannot be `"balanced"`.
        threshold: Probability from which a mask is decoded as yes.
        taps: The taps to read, from shallow to deep; `None` for the last one of each size, or where no size
            is known the trunk's end. With `at` that tap alone.
        decoder: `"fpn"` brings each map to `width` channels and adds them up from the deepest to the
            shallowest, a 3 x 3 convolution after it (Lin et al. 2017, Feature Pyramid Networks, section 3);
            `"unet"` convolves twice at each size with what comes from the size below beside the map
            (Ronneberger et al. 2015, section 2), which costs most; `"linear"` adds up linear scores of all
            maps (Long et al. 2015, section 4.2), which costs least.
        width: Channels of the decoder.
        size: `(height, width)` of the labels; `None` for that of the model's picture.

    Metrics: `"accuracy"` of pixels and `"mean_iou"`, the mean over the classes of intersection over union
    (both default); `"mean_dice"`; `"iou_<class>"` and `"dice_<class>"` of one class, by name or by index
    where there are no names; `"boundary_f1"`, of boundaries that are at most two pixels apart
    (`mtlkeras.metrics.BoundaryF1`).

    Raises:
        ValueError: For fields that do not fit; when a model is built, if the trunk gives no maps, or there is
            no one picture whose size the output could have.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(32, 32, 3),
        trunk=mtlkeras.trunks.ResNet(depth=8, width=8),
        heads={
            "mask": mtlkeras.heads.Segmentation(3, decoder="unet", loss_kind=("crossentropy", "dice")),
            "marks": mtlkeras.heads.Segmentation(2, exclusive=False, class_names=("rust", "miner")),
            "scene": mtlkeras.heads.Classification(5),
        },
    )
    model.output["mask"].shape  # (None, 32, 32, 3)
    ```
    """

    default_metrics: ClassVar = ("accuracy", "mean_iou")

    num_classes: int
    exclusive: bool = True
    class_names: tuple[str, ...] | None = None
    loss_kind: str | tuple[str, ...] = "crossentropy"
    focal_gamma: float = 2.0
    class_weight: dict | tuple[float, ...] | str | None = None
    threshold: float = 0.5

    def validate(self) -> None:
        whole_number("Segmentation", "num_classes", self.num_classes, lowest=2 if self.exclusive else 1)
        check_class_names("Segmentation", self.class_names, self.num_classes, "class_names")
        super().validate()
        check_losses("Segmentation", self._losses)
        check_gamma("Segmentation", self.focal_gamma)
        if not 0 < self.threshold < 1:
            raise ValueError(f"Segmentation: threshold must be between 0 and 1; received {self.threshold}.")
        check_class_weight(self)
        if self.balanced and not self.exclusive:
            raise ValueError(
                "Segmentation: class_weight='balanced' is for classes of which a pixel has one; give the "
                "weight of a yes in each mask."
            )

    @property
    def _pixels(self) -> PixelClasses | PixelMasks:
        return PixelClasses(self) if self.exclusive else PixelMasks(self)

    @property
    def _losses(self) -> tuple[str, ...]:
        return (self.loss_kind,) if isinstance(self.loss_kind, str) else self.loss_kind

    @property
    def scores_are_labels(self) -> bool:  # type: ignore[override]
        return not self.exclusive

    @property
    def units(self) -> int:
        return self.num_classes

    def activate(self, scores: Tensor) -> Tensor:
        return self._pixels.activate(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        return self._pixels.invert(outputs)

    # Labels, loss and metrics.

    @property
    def label_form(self) -> LabelForm:
        return self._pixels.label_form

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        total: Any = 0.0
        for kind in self._losses:
            values = getattr(self._pixels, kind)(targets, scores)
            total += values if kind == "dice" else self.weigh(values, targets, layer)
        return total

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        return self._pixels.weights(targets, class_weight_tensor(self, class_weight))

    def metric_outputs(self, outputs: Tensor, layer: TaskOutput) -> Tensor:
        """Returns the likeliest classes, or the masks."""
        return layer.answers(outputs)

    @property
    def metric_names(self) -> tuple[str, ...]:  # type: ignore[override]
        one = [f"{measure}_{name}" for measure in ("iou", "dice") for name in self._names_of_classes]
        return ("accuracy", "mean_iou", "mean_dice", "boundary_f1", *one)

    @property
    def _names_of_classes(self) -> tuple[str, ...]:
        return self.class_names or tuple(map(str, range(self.num_classes)))

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return TokenAccuracy(name=name)
        if name == "boundary_f1":
            return self._pixels.boundary(name)
        if name in self.metric_names:
            first, rest = name.split("_", 1)
            if first == "mean" and rest in ("iou", "dice"):
                return self._pixels.overlap(rest, None, name)
            return self._pixels.overlap(first, self._names_of_classes.index(rest), name)
        return super().metric(name)

    # What a person wants.

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.class_names if self.exclusive else None

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        return self._pixels.decode(outputs)
