"""Networks of keras.applications, with their preprocessing inside."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from mtlkeras._errors import near_match, unknown_name
from mtlkeras._fields import check_choice
from mtlkeras._keras_private import call_behind
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.layers.preprocessing import ImagePreprocessing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import dropped
from mtlkeras.trunks._graph import Cut, Graph
from mtlkeras.trunks.base import Trunk, single_input
from mtlkeras.trunks.image import shorter_side
from mtlkeras.trunks.stages import Flow, Stage

# The preprocessing of each network by the names of its family; `None` for networks that have
# it inside already.
_FAMILIES: dict[str | None, tuple[str, ...]] = {
    "tf": (
        "InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 NASNetLarge NASNetMobile Xception",
        "ResNet50V2 ResNet101V2 ResNet152V2",
    ),
    "torch": ("DenseNet121 DenseNet169 DenseNet201",),
    "caffe": ("ResNet50 ResNet101 ResNet152 VGG16 VGG19",),
    None: (
        "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge",
        "EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3",
        "EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7",
        "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3",
        "EfficientNetV2S EfficientNetV2M EfficientNetV2L MobileNetV3Large MobileNetV3Small",
    ),
}
PREPROCESSING = {name: mode for mode, lines in _FAMILIES.items() for name in " ".join(lines).split()}
"""Mode of `mtlkeras.layers.ImagePreprocessing` by the network's name."""

_MINIMUM = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
_SMALLEST = 32

_OWN_ARGUMENTS = {"include_top", "include_preprocessing", "input_shape", "input_tensor", "pooling", "weights"}


@spec
class Pretrained(Trunk):
    """A network of keras.applications without its classifier, for images of pixels 0..255.

    The preprocessing that the network was trained with is part of the trunk, so that training
    and export take the same raw pixels. Images of one channel are repeated to three.

    Args:
        name: Name of a network in `keras.applications`, such as `"MobileNetV2"`.
        weights: `None` for random weights; `"imagenet"` for the ImageNet weights, which Keras
            downloads unless it has them; or a local file: weights without classifier as
            `.weights.h5` or `.h5`, or a whole model as `.keras`, whose weights must begin with
            the network's (a classifier after them is left out). The file is read when the
            model is built, not when a saved model is loaded.
        trainable: Whether the network's weights are trained. Frozen, its batch normalisation
            keeps the statistics it came with.
        pooling: `"avg"` or `"max"`: how the map becomes the vector.
        dropout: Rate of dropout on the vector, in [0, 1).
        options: Further arguments of the network, such as `{"alpha": 0.35}`.

    Gives `vector` of shape `(batch, channels)`, `map` of shape
    `(batch, height, width, channels)`, and as taps every inner layer that gives a map and has a
    name of its own in keras.applications, by that name: `at="block_6_expand_relu"`. Names that
    Keras makes up by counting (`conv2d_7`) change from model to model and are no taps. A stage ends where the
    maps are going to be halved, if no shortcut passes that place, under the name of the layer there; images
    of unknown size make one stage. `mtlkeras.trunks.Staged` cuts a network where one likes.

    Raises:
        ValueError: If the name is unknown, the images are under 32 pixels (71 for Xception, 75
            for Inception), or the weights file does not exist or does not fit.
        RuntimeError: If the ImageNet weights cannot be had.

    Example:

    ```python
    trunk = mtlkeras.trunks.Pretrained("MobileNetV2", weights=None, options={"alpha": 0.35})
    trunk(keras.Input((96, 96, 3), dtype="uint8")).vector.shape  # (None, 1280)
    ```
    """

    gives: ClassVar = ("vector", "map")

    name: str
    weights: str | None = None
    _: dataclasses.KW_ONLY
    trainable: bool = True
    pooling: str = "avg"
    dropout: float = tunable(0.0, 0.0, 0.1, 0.2, 0.3, 0.5)
    options: Mapping[str, Any] | None = None

    def validate(self) -> None:
        if self.name not in PREPROCESSING:
            raise unknown_name("network", self.name, PREPROCESSING, "Pretrained")
        check_choice(self, "pooling", ("avg", "max"))
        for option in _OWN_ARGUMENTS.intersection(self.options or ()):
            raise ValueError(f"Pretrained: options must not hold '{option}', which the trunk sets itself.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"Pretrained: dropout must be in [0, 1); received {self.dropout!r}.")

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the image as the network takes it, after a check of its size."""
        image = single_input(self, inputs, 4, "(height, width, channels)")
        self._check_image(image)
        coloured = (
            keras.layers.Concatenate(name="gray_to_rgb")([image] * 3) if image.shape[-1] == 1 else image
        )
        ready = self._preprocessed(coloured)
        layers = {call_behind(x).operation: x for x in (image, coloured, ready)}
        return Flow(
            ready, taps={layer.name: x for layer, x in layers.items() if not _has_counted_name(layer)}
        )

    def stages(self, flow: Flow) -> list[Stage]:
        network = self._network(flow.x)
        network.trainable = self.trainable
        graph = Graph(network, flow.x)
        end = graph.end()
        if _has_counted_name(call_behind(end.x).operation):
            end = dataclasses.replace(end, name="output")
        return graph.stages([*_where_maps_shrink(graph), end], _is_tap)

    def end(self, flow: Flow) -> Features:
        pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[
            self.pooling
        ]
        vector = dropped(self, pool(name="vector_pool")(flow.x), "vector_dropout")
        return Features(vector=vector, map=flow.x, taps=flow.taps, source=self)

    def _check_image(self, image: Any) -> None:
        least = _MINIMUM.get(self.name, _SMALLEST)
        height, width, channels = image.shape[1:]
        if channels not in (1, 3):
            raise ValueError(
                f"Pretrained('{self.name}') takes images of 1 or 3 channels; received {channels}."
            )
        if shorter_side(height, width) < least:
            raise ValueError(
                f"Pretrained('{self.name}') needs images of at least {least}x{least} pixels; received "
                f"{height}x{width}. Enlarge the images, or use a trunk for small images such as ResNet."
            )

    def _preprocessed(self, image: Any) -> Any:
        mode = PREPROCESSING[self.name]
        if mode is not None:
            return ImagePreprocessing(mode, name="image_preprocessing")(image)
        # The network's own preprocessing takes floats.
        return keras.layers.Rescaling(1.0, name="image_preprocessing")(image)

    def _network(self, image: Any) -> Any:
        build = getattr(keras.applications, self.name)
        arguments = {"include_top": False, "input_tensor": image, **(self.options or {})}
        if self.weights == "imagenet":
            return _with_imagenet_weights(self.name, build, arguments)
        network = build(weights=None, **arguments)
        if self.weights is not None:
            _load_weights(network, self.weights, self.name)
        return network


def _is_tap(operation: Any) -> bool:
    """Tells whether an operation is a layer that gives a map and has a name of its own."""
    if not isinstance(operation, keras.layers.Layer) or isinstance(operation, keras.Model):
        return False
    return not _has_counted_name(operation) and len(getattr(operation.output, "shape", ())) == 4


def _where_maps_shrink(graph: Graph) -> list[Cut]:
    """Returns the last cut at a tap before each halving of the maps, where the network can be cut."""
    cuts = [cut for cut in graph.cuts() if _ends_stage(call_behind(cut.x).operation)]
    heights = [cut.x.shape[1] or 0 for cut in cuts]
    pairs = zip(heights, heights[1:], strict=False)
    return [cut for cut, (height, following) in zip(cuts, pairs, strict=False) if following < 0.75 * height]


def _ends_stage(operation: Any) -> bool:
    # Padding belongs to the convolution after it.
    return _is_tap(operation) and not isinstance(operation, keras.layers.ZeroPadding2D)


def _has_counted_name(layer: Any) -> bool:
    """Tells whether Keras made up the name, such as `conv2d_7`: it counts on from model to model."""
    return re.sub(r"_\d+$", "", layer.name).replace("_", "") == type(layer).__name__.lower()


def _with_imagenet_weights(name: str, build: Any, arguments: dict[str, Any]) -> Any:
    try:
        return build(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises a bare Exception where a download fails.
        raise RuntimeError(
            f"Pretrained('{name}', weights='imagenet'): the weights could not be had ({error}). "
            "Without network, download them elsewhere and give the file: weights='path/to/weights.h5'."
        ) from error


def _load_weights(network: Any, path: str, name: str) -> None:
    if not os.path.isfile(path):
        raise ValueError(
            f"Pretrained('{name}'): weights must be None, 'imagenet' or the path of a file; there is no file "
            f"'{path}'.{near_match(path, ['imagenet'])}"
        )
    try:
        if path.endswith(".keras"):
            _copy_leading_weights(keras.saving.load_model(path, compile=False), network)
        else:
            network.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras each have their own kinds.
        raise ValueError(
            f"Pretrained('{name}'): the weights in '{path}' do not fit, or cannot be read: {error}"
        ) from error


def _copy_leading_weights(source: Any, network: Any) -> None:
    values = source.get_weights()[: len(network.weights)]
    wanted, found = [tuple(w.shape) for w in network.weights], [v.shape for v in values]
    if wanted != found:
        raise ValueError(f"the model '{source.name}' does not begin with the weights of this network.")
    network.set_weights(values)
