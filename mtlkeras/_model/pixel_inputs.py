"""Pictures as a model's inputs: whether their numbers are those that the model computes with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import functional_within, has_graph, nodes_of
from mtlkeras._model.text_inputs import text_inputs
from mtlkeras.layers.preprocessing import ImagePreprocessing
from mtlkeras.layers.resize_like import ResizeLike

# Keras' layers that multiply pixels by their weights.
_KERNELS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)

# Keras' operations that hand on numbers as large as they came; by name, as they share no base class.
_PASSING = (
    *("Cast", "Concatenate", "Cropping2D", "CenterCrop", "Dropout", "Flatten", "Identity", "Permute"),
    *("RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "Reshape", "Resizing"),
    *("SpatialDropout2D", "UpSampling2D", "ZeroPadding2D", "AveragePooling2D", "MaxPooling2D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "Squeeze", "ExpandDims", "Transpose"),
)

_CHECKED = 64
"""Examples of an array whose values are looked at."""


def model_inputs(model: Any, x: Any) -> Any:
    """Returns inputs as a model takes them: names of picture files and strings as arrays, the rest as is.

    Args:
        model: The model.
        x: Its inputs, in any form that Keras takes; for a model of uint8 pictures also a list of names
            of picture files, which are read as `mtlkeras.data.load` reads them.

    Raises:
        ValueError: If pictures and model do not fit; see `check_pixels`.
    """
    x = text_inputs(model, _pictures(model, x))
    check_pixels(model, x)
    return x


def check_pixels(model: Any, x: Any) -> None:
    """Checks that a model's inputs of pictures count pixels as the model does.

    Looks at types alone, save for the first examples of arrays of fractions, so it costs next to nothing.

    Args:
        model: The model.
        x: Its inputs: arrays, tensors, or a `tf.data.Dataset`, alone or in the structure of `model.input`.

    Raises:
        ValueError: If uint8 pictures, 0..255, are given for an input of floats which nothing in the model
            scales, or fractions for an input of uint8, which would cut them down to whole numbers.
    """
    if hasattr(x, "element_spec"):
        spec = x.element_spec
        x = spec[0] if isinstance(spec, tuple) else spec
    for wanted, given in _pairs(model.input, x):
        dtype, rank = _dtype(given), len(wanted.shape)
        if rank < 3:
            continue
        if dtype == "uint8" and "float" in wanted.dtype and is_unscaled(model, wanted):
            raise ValueError(_unscaled(wanted))
        if wanted.dtype == "uint8" and isinstance(given, np.ndarray) and given.dtype.kind in "fiu":
            _check_whole(wanted, given[:_CHECKED])


def is_unscaled(model: Any, tensor: Any) -> bool:
    """Whether a model's input reaches a layer with a kernel before anything that may scale it."""
    return any(_is_raw(operation, place) for operation, place in _readers(model, tensor))


def rescales(model: Any, tensor: Any) -> bool:
    """Whether the first layers on a model's input are known to scale pixels 0..255."""
    found = [_first(step, place) for step, place in _readers(model, tensor) if not _looks_at_size(step)]
    return bool(found) and all(map(_scales, found))


def _looks_at_size(step: _Step) -> bool:
    return isinstance(step.operation, ResizeLike)


def _scales(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Rescaling):
        return bool(np.max(np.abs(layer.scale)) < 0.1)
    return isinstance(layer, ImagePreprocessing)


def _unscaled(wanted: Any) -> str:
    shape = tuple(wanted.shape[1:])
    return (
        f"Input '{wanted.name}' is given uint8 pictures, 0 to 255, and takes {wanted.dtype} that nothing in "
        f"the model scales. Build the model with keras.Input({shape}, dtype='uint8'), which its trunk scales "
        "to 0..1, or scale the pictures yourself: x / 255, in a data set dataset.map(lambda x, y: (x / 255, "
        "y)). Numbers that are no pixels pass as x.astype('float32')."
    )


def _check_whole(wanted: Any, values: np.ndarray) -> None:
    if values.dtype == np.uint8 or not values.size:
        return
    wrong = (values < 0) | (values > 255) | (values != np.floor(values))
    if wrong.any():
        raise ValueError(
            f"Input '{wanted.name}' takes uint8 pictures, 0 to 255, and is given {values.dtype} such as "
            f"{values[wrong][0]:g}, which uint8 cannot hold. Give the pictures as they were before scaling; "
            "the model scales them itself."
        )


def _pairs(wanted: Any, x: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each of the model's inputs with what is given for it, as far as that can be told."""
    if isinstance(wanted, Mapping) and isinstance(x, Mapping):
        yield from ((wanted[name], x[name]) for name in wanted if name in x)
        return
    flat = keras.tree.flatten(wanted)
    if isinstance(x, Mapping):
        by_name = {tensor.name: tensor for tensor in flat}
        yield from ((by_name[name], value) for name, value in x.items() if name in by_name)
    elif len(flat) == 1:
        yield flat[0], x
    elif isinstance(x, (list, tuple)) and len(x) == len(flat):
        yield from zip(flat, x, strict=True)


def _dtype(value: Any) -> str | None:
    dtype = getattr(value, "dtype", None)
    return None if dtype is None else getattr(dtype, "name", str(dtype))


def _pictures(model: Any, x: Any) -> Any:
    flat = keras.tree.flatten(model.input)
    if len(flat) != 1 or len(flat[0].shape) != 4 or not isinstance(x, (list, tuple)):
        return x
    from mtlkeras.data.picture import are_picture_names, read_pictures

    if not are_picture_names(x):
        return x
    return keras.tree.map_structure(lambda _: read_pictures(list(x), *picture_shape(flat[0])), model.input)


def picture_shape(tensor: Any) -> tuple[tuple[int, int] | None, int | None]:
    """Returns size and channels that a model's input wants of pictures; `None` where it takes any."""
    height, width, channels = tensor.shape[1:]
    return None if None in (height, width) else (height, width), channels


def _readers(model: Any, tensor: Any) -> Iterator[tuple[Any, int]]:
    """Yields the operations of a functional model that read a tensor, and at which place."""
    for node in nodes_of(model):
        for place, given in enumerate(node.input_tensors):
            if given is tensor:
                yield _Step(model, node), place


class _Step:
    """An operation where a functional model applies it."""

    def __init__(self, model: Any, node: Any) -> None:
        self.operation = functional_within(node.operation)
        self.model, self.node = model, node

    def next(self, place: int) -> Iterator[tuple[Any, int]]:
        """Yields what comes next: inside of a model its own operations, else those that read the outputs."""
        inner = keras.tree.flatten(getattr(self.operation, "input", None)) if self.is_model else []
        if place < len(inner):
            yield from _readers(self.operation, inner[place])
        elif type(self.operation).__name__ in _PASSING:
            for output in keras.tree.flatten(self.node.outputs):
                yield from _readers(self.model, output)

    @property
    def is_model(self) -> bool:
        return isinstance(self.operation, keras.Model) and has_graph(self.operation)


def _is_raw(step: _Step, place: int) -> bool:
    if isinstance(step.operation, _KERNELS):
        return True
    return any(_is_raw(after, at) for after, at in step.next(place))


def _first(step: _Step, place: int) -> Any:
    """The first operation that is neither a model nor one that hands numbers on."""
    for after, at in step.next(place):
        return _first(after, at)
    return step.operation
