"""Changes of batches one after the other, layers of Keras among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from mtlkeras.data.changes import is_by_pixel, on_pixels
from mtlkeras.specs import Spec

Change = Callable[[Any, Any, Any], tuple[Any, Any]]

# Layers of Keras that leave every pixel in its place.
_IN_PLACE = (
    *("AutoContrast", "Equalization", "GaussianNoise", "Normalization", "RandomBrightness"),
    *("RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomErasing"),
    *("RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPosterization"),
    *("RandomSaturation", "RandomSharpness", "Rescaling", "Solarization"),
)


def in_turn(changes: Change | keras.layers.Layer | Sequence[Any]) -> Change:
    """Returns one function of inputs, labels and a seed for one change, or for several in their order."""
    if not isinstance(changes, (list, tuple)):
        return _as_function(changes)
    functions = [_as_function(change) for change in changes]

    def changed(x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        for number, function in enumerate(functions):
            own = tf.random.stateless_uniform((), [seed, number], minval=None, maxval=None, dtype=tf.int64)
            x, y = function(x, y, own)
        return x, y

    return changed


def _as_function(change: Any) -> Change:
    if isinstance(change, (keras.layers.Layer, Spec)):
        own = _LayerChange(change) if isinstance(change, keras.layers.Layer) else change
        return _not_converted(own)
    if isinstance(change, type) or not callable(change):
        raise ValueError(
            "augment: expected a function of inputs, labels and a seed such as mtlkeras.data.Flip(), a "
            f"preprocessing layer of Keras, or several of these; received {change!r}."
        )
    return change


def _not_converted(change: Any) -> Change:
    """Returns a change that AutoGraph leaves alone: it finds nothing to convert, and takes its time."""
    import tensorflow as tf

    def changed(x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        return change(x, y, seed)

    return tf.autograph.experimental.do_not_convert(changed)


class _LayerChange:
    """Pictures changed by a layer of Keras, whose numbers are drawn from the seed."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._draws = hasattr(layer, "get_random_transformation")
        random = any(getattr(layer, name, None) is not None for name in ("seed_generator", "generator"))
        if random and not self._draws:
            raise ValueError(
                f"augment: the layer '{layer.name}' ({type(layer).__name__}) draws numbers that no seed "
                "repeats. Write it as a function of inputs, labels and a seed."
            )

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        kind = type(self._layer).__name__
        for task, labels in y.items():
            if is_by_pixel(labels) and kind not in _IN_PLACE:
                raise ValueError(
                    f"augment: {kind} may move the pixels that the labels of task '{task}' belong to. Use "
                    "mtlkeras.data.Flip or Shift, which move both."
                )
        return on_pixels(x, y, lambda images: self._changed(images, seed), None)

    def _changed(self, images: Any, seed: Any) -> Any:
        import tensorflow as tf

        layer, kind = self._layer, images.dtype
        if not self._draws:
            return layer(images, training=True)
        layer.backend.set_backend("tensorflow")  # Of a pipeline, whatever the models' backend.
        try:
            drawn = layer.get_random_transformation(images, training=True, seed=_FromSeed(seed))
            found = layer.transform_images(tf.cast(images, tf.float32), drawn, training=True)
        finally:
            layer.backend.reset()
        return tf.cast(found, kind) if kind.is_floating else tf.saturate_cast(tf.round(found), kind)


class _FromSeed(keras.random.SeedGenerator):
    """Seeds for the random numbers of a layer, made from one seed: a state would not repeat."""

    def __init__(self, seed: Any) -> None:
        self._drawn, self._count = seed, 0

    def next(self, ordered: bool = True) -> Any:
        import tensorflow as tf

        self._count += 1
        return tf.random.stateless_uniform(
            (2,), [self._drawn, self._count], minval=None, maxval=None, dtype=tf.int32
        )
