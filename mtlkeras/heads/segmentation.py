"""A class for every pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from mtlkeras._fields import whole_number
from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.features import Features
from mtlkeras.heads._class_weights import WeighedClasses, check_class_weight, class_weight_tensor
from mtlkeras.heads._labels import PixelLabels
from mtlkeras.heads.base import Head, check_class_names
from mtlkeras.layers.output import TaskOutput
from mtlkeras.metrics import MeanIoU, TokenAccuracy
from mtlkeras.specs import spec, tunable


@spec
class Segmentation(WeighedClasses, Head):
    """Gives each pixel one of `num_classes`, from the maps of an image trunk's taps (Long et al. 2015).

    A small decoder reads one map of each size, brings each to `width` channels, and adds them up from the
    deepest to the shallowest, each resized to the next (the pyramid of Lin et al. 2017, section 3); a 3 x 3
    convolution follows. The scores are resized to the picture. The output has shape
    `(batch, height, width, num_classes)`; labels are class indices of shape `(batch, height, width)`, with
    `mtlkeras.MISSING` where a pixel has none. The task's loss is the mean cross-entropy over the labelled
    pixels of the batch. A sample weight is one an example, or one a pixel.

    Args:
        num_classes: Number of classes.
        class_names: Their names, for what a person reads.
        taps: The taps to read, from shallow to deep; `None` for the last one of each size. With `at` that
            tap alone.
        width: Channels of the decoder.
        size: `(height, width)` of the labels; `None` for that of the model's picture.
        class_weight: As for `mtlkeras.heads.Classification`, over pixels.

    Metrics: `"accuracy"` of pixels and `"mean_iou"`, the mean over the classes of intersection over union
    (both default).

    Raises:
        ValueError: For fields that do not fit; when a model is built, if the trunk gives no maps, or the
            picture's size is not known.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(32, 32, 3),
        trunk=mtlkeras.trunks.ResNet(depth=8, width=8),
        heads={"mask": mtlkeras.heads.Segmentation(3), "scene": mtlkeras.heads.Classification(5)},
    )
    model.output["mask"].shape  # (None, 32, 32, 3)
    ```
    """

    kind: ClassVar = "map"
    default_metrics: ClassVar = ("accuracy", "mean_iou")
    metric_names: ClassVar = ("accuracy", "mean_iou")

    num_classes: int
    _: dataclasses.KW_ONLY
    class_names: tuple[str, ...] | None = None
    taps: tuple[str, ...] | None = None
    width: int = tunable(64, 32, 64, 128)
    size: tuple[int, ...] | None = None
    class_weight: dict | tuple[float, ...] | str | None = None

    def validate(self) -> None:
        super().validate()
        whole_number("Segmentation", "num_classes", self.num_classes, lowest=2)
        whole_number("Segmentation", "width", self.width)
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"Segmentation: size must be (height, width); received {self.size}.")
        if self.at is not None and self.taps is not None:
            raise ValueError(f"Segmentation: give at= or taps=; received {self.at!r} and {self.taps!r}.")
        check_class_names("Segmentation", self.class_names, self.num_classes, "class_names")
        check_class_weight(self)

    # Building.

    @property
    def units(self) -> int:
        return self.num_classes

    def reads(self, features: Features, task: str) -> dict[tuple[str | None, str], Any]:
        asked_by = f"Segmentation of task '{task}'"
        names = self.taps or (() if self.at is None else (self.at,)) or _last_of_each_size(features.taps)
        if not names:
            return {(None, "map"): features.get("map", asked_by=asked_by)}
        return {(name, "map"): features.get("map", name, asked_by=asked_by) for name in names}

    def scores(self, features: Features, task: str) -> Tensor:
        x = self._beside_others(self._decoded(features, task), features, task)
        for i, units in enumerate(self.hidden, 1):
            x = self._dropped(x, f"{task}_dropout_{i}")
            x = self._dense(units, f"{task}_hidden_{i}", self.activation)(x)
        scores = self._dense(self.units, f"{task}_logits", None)(self._dropped(x, f"{task}_dropout"))
        return _resized(scores, self._size(features, task), f"{task}_resize")

    def _decoded(self, features: Features, task: str) -> Tensor:
        maps: dict[str, Any] = dict(features.taps) or {"end": features.map}
        x = None
        for name, tensor in reversed(maps.items()):
            lateral = self._conv(1, f"{task}_{name}_lateral")(tensor)
            if x is None:
                x = lateral
                continue
            x = _resized(x, tuple(tensor.shape[1:3]), f"{task}_{name}_resize")
            x = keras.layers.Add(dtype="float32", name=f"{task}_{name}_sum")([x, lateral])
        return self._conv(3, f"{task}_decoder", self.activation)(x)

    def _conv(self, kernel: int, name: str, activation: str | None = None) -> Any:
        penalty = keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None
        return keras.layers.Conv2D(
            self.width,
            kernel,
            padding="same",
            activation=activation,
            kernel_regularizer=penalty,
            dtype="float32",
            name=name,
        )

    def _size(self, features: Features, task: str) -> tuple[int, ...]:
        size = self.size or features.picture
        if size is None:
            raise ValueError(
                f"Segmentation of task '{task}': the size of the model's picture is not known. Give the "
                "input a fixed height and width, or the head size=(height, width)."
            )
        return size

    def activate(self, scores: Tensor) -> Tensor:
        return ops.softmax(scores)

    def invert(self, outputs: Tensor) -> Tensor:
        return ops.log(ops.maximum(outputs, 1e-37))

    # Labels, loss and metrics: pixels in a row are steps.

    @property
    def label_form(self) -> PixelLabels:
        return PixelLabels(self.num_classes)

    @property
    def weighed_by_label(self) -> bool:
        return True

    def in_a_row(self, values: Tensor, axes: int = 0) -> Tensor:
        if axes == 0 and len(values.shape) == 4 and values.shape[-1] == 1:
            values = values[..., 0]
        if len(values.shape) - axes != 3:
            return values
        height, width, *rest = values.shape[1:]
        if None in (height, width):
            return ops.reshape(values, (ops.shape(values)[0], -1, *rest))
        return ops.reshape(values, (-1, height * width, *rest))

    def within(self, mask: Tensor, outputs: Tensor) -> Tensor:
        """Returns the mask as it is.

        Raises:
            ValueError: If labels and outputs have different numbers of pixels.
        """
        if None not in (mask.shape[1], outputs.shape[1]) and mask.shape[1] != outputs.shape[1]:
            raise ValueError(f"the labels have {mask.shape[1]} pixels, the outputs {outputs.shape[1]}.")
        return mask

    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        values = ops.sparse_categorical_crossentropy(ops.maximum(targets, 0), scores, from_logits=True)
        return self.weigh(values, targets, layer)

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        return ops.take(class_weight_tensor(self, class_weight), ops.maximum(targets, 0))

    def by_unit(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the losses of the pixels, over which the task's mean is."""
        return ops.where(mask, values, 0.0), mask

    def metric_outputs(self, outputs: Tensor, layer: TaskOutput) -> Tensor:
        """Returns the likeliest classes."""
        return layer.answers(outputs)

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return TokenAccuracy(name=name)
        if name == "mean_iou":
            return MeanIoU(self.num_classes, name=name)
        return super().metric(name)

    # What a person wants.

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.class_names

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        best = ops.cast(ops.argmax(outputs, axis=-1), "int32")
        return {"": best, "probability": ops.max(outputs, axis=-1)}


def _last_of_each_size(taps: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the deepest tap of each size, from shallow to deep; all of them where sizes are not known."""
    sizes = {name: tuple(x.shape[1:3]) for name, x in taps.items() if len(x.shape) == 4}
    if any(None in size for size in sizes.values()):
        return ()
    last = {size: name for name, size in sizes.items()}
    return tuple(name for name, size in sizes.items() if last[size] == name)


def _resized(x: Tensor, size: tuple[int, ...], name: str) -> Tensor:
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    return keras.layers.Resizing(*size, interpolation="bilinear", dtype="float32", name=name)(x)
