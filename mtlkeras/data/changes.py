"""Changes of pictures for `augment`, which move the labels of pixels along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mtlkeras._fields import whole_number
from mtlkeras._missing import MISSING
from mtlkeras.specs import Spec, spec


@spec
class Flip(Spec):
    """Mirrors pictures, and labels by pixel with them, each example with a chance of one half.

    Args:
        horizontal: Whether from left to right.
        vertical: Whether from top to bottom, drawn apart.

    Called with inputs, labels and a seed, as by `augment`. Pictures are all inputs of shape
    `(batch, height, width, channels)`; labels by pixel have the shape `(batch, height, width, ...)`.

    Example:

    ```python
    x, y = mtlkeras.data.Flip()(np.ones((2, 4, 4, 1), "float32"), {"kind": np.array([0, 1])}, seed=0)
    ```
    """

    horizontal: bool = True
    vertical: bool = False

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        for axis, wanted in ((2, self.horizontal), (1, self.vertical)):
            if wanted:
                drawn = tf.random.stateless_uniform((rows_of(x),), [seed, axis]) < 0.5
                x, y = on_pixels(x, y, partial(_mirrored, axis=axis, drawn=drawn))
        return x, y


@spec
class Shift(Spec):
    """Moves pictures by up to some pixels each way, and labels by pixel with them: crops of padded pictures.

    What comes in at a border is zero in pictures and missing in labels by pixel: `mtlkeras.MISSING`, or NaN
    in floats. He et al. 2015, Deep Residual Learning, section 4.2, crop so with 4 pixels.

    Args:
        pixels: The most pixels each way.

    Called as `Flip`.

    Example:

    ```python
    x, y = mtlkeras.data.Shift(2)(np.ones((2, 8, 8, 1), "float32"), {"kind": np.array([0, 1])}, seed=0)
    ```
    """

    pixels: int = 4

    def validate(self) -> None:
        whole_number("Shift", "pixels", self.pixels)

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        steps = tf.random.stateless_uniform((rows_of(x), 2), [seed, 3], 0, 2 * self.pixels + 1, tf.int32)
        return on_pixels(x, y, lambda v: _shifted(v, steps, self.pixels, 0), self._labels_shifted(steps))

    def _labels_shifted(self, steps: Any) -> Callable[[Any], Any]:
        def shifted(values: Any) -> Any:
            border = float("nan") if values.dtype.is_floating else MISSING
            return _shifted(values, steps, self.pixels, border)

        return shifted


@spec
class CutOut(Spec):
    """Puts zeros in a square of each picture, around a pixel drawn; labels stay as they are.

    DeVries and Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout, section
    3.2: the square may lie partly outside.

    Args:
        size: Side of the square in pixels.

    Called as `Flip`.

    Example:

    ```python
    x, y = mtlkeras.data.CutOut(4)(np.ones((2, 8, 8, 1), "float32"), {"kind": np.array([0, 1])}, seed=0)
    ```
    """

    size: int = 8

    def validate(self) -> None:
        whole_number("CutOut", "size", self.size)

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        def cut(values: Any) -> Any:
            height, width = tf.shape(values)[1], tf.shape(values)[2]
            middle = tf.random.stateless_uniform((tf.shape(values)[0], 2), [seed, 5])
            half = self.size // 2
            top = tf.cast(middle[:, 0] * tf.cast(height, tf.float32), tf.int32) - half
            left = tf.cast(middle[:, 1] * tf.cast(width, tf.float32), tf.int32) - half
            inside = box(height, width, top, left, top + self.size, left + self.size)
            return tf.where(inside[..., None], tf.zeros_like(values), values)

        return on_pixels(x, y, cut, None)


def is_picture(value: Any) -> bool:
    """Returns whether an input is one of pictures."""
    return len(value.shape) == 4


def is_by_pixel(value: Any) -> bool:
    """Returns whether labels are by pixel."""
    return len(value.shape) >= 3


def on_pixels(
    x: Any, y: Mapping[str, Any], change: Callable[[Any], Any], of_labels: Any = "the same"
) -> tuple[Any, Any]:
    """Returns inputs and labels with the pictures, and the labels by pixel, changed.

    Args:
        x: The inputs.
        y: The labels by task.
        change: From pictures to pictures.
        of_labels: From labels by pixel to such; `None` leaves them; `"the same"` is `change`.

    Raises:
        ValueError: If no input is of pictures.
    """
    import tensorflow as tf

    if not any(is_picture(value) for value in tf.nest.flatten(x)):
        raise ValueError("augment: a change of pictures needs an input of shape (height, width, channels).")
    of_labels = change if of_labels == "the same" else of_labels
    inputs = tf.nest.map_structure(lambda v: change(tf.convert_to_tensor(v)) if is_picture(v) else v, x)
    if of_labels is None:
        return inputs, y
    return inputs, {
        task: of_labels(tf.convert_to_tensor(v)) if is_by_pixel(v) else v for task, v in y.items()
    }


def rows_of(x: Any) -> Any:
    """Returns the number of examples of a batch."""
    import tensorflow as tf

    return tf.shape(tf.nest.flatten(x)[0])[0]


def box(height: Any, width: Any, top: Any, left: Any, bottom: Any, right: Any) -> Any:
    """Returns which pixels are in a box of each example, bool `(batch, height, width)`."""
    import tensorflow as tf

    rows, columns = tf.range(height)[None, :, None], tf.range(width)[None, None, :]
    top, left, bottom, right = (side[:, None, None] for side in (top, left, bottom, right))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def _mirrored(values: Any, axis: int, drawn: Any) -> Any:
    import tensorflow as tf

    return tf.where(
        tf.reshape(drawn, (-1, *[1] * (len(values.shape) - 1))), tf.reverse(values, [axis]), values
    )


def _shifted(values: Any, steps: Any, pixels: int, border: Any) -> Any:
    """Returns the windows of padded values that begin at the steps of each example."""
    import tensorflow as tf

    height, width = tf.shape(values)[1], tf.shape(values)[2]
    room = [[0, 0], [pixels, pixels], [pixels, pixels], *[[0, 0]] * (len(values.shape) - 3)]
    padded = tf.pad(values, room, constant_values=tf.cast(border, values.dtype))
    rows = steps[:, :1] + tf.range(height)[None]
    columns = steps[:, 1:] + tf.range(width)[None]
    found = _window(padded, rows, columns)
    return tf.ensure_shape(found, values.shape)


def _window(padded: Any, rows: Any, columns: Any) -> Any:
    import tensorflow as tf

    by_row = tf.gather(padded, rows, axis=1, batch_dims=1)
    swapped = tf.transpose(by_row, [0, 2, 1, *range(3, len(padded.shape))])
    by_column = tf.gather(swapped, columns, axis=1, batch_dims=1)
    return tf.transpose(by_column, [0, 2, 1, *range(3, len(padded.shape))])
