"""Pictures and their masks moved together, for `augment`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING


def move_together(
    move: Callable[[Any, Any], Any], masks: Sequence[str]
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Makes of a function that moves pictures one for `augment` that moves their masks with them.

    The function gets pictures and masks as channels of one tensor, so that all move alike. It may flip,
    shift, crop, turn or resize, but must not mix pixels: a layer of Keras' takes `interpolation="nearest"`.
    What it fills with zeros is a missing label in the masks.

    Args:
        move: Takes float32 `(batch, height, width, channels)` and a seed, as `augment` gives it, and
            returns the same moved, perhaps in another size.
        masks: The tasks whose labels are masks or numbers of pixels: `(batch, height, width)`, or with a last
            axis of their own.

    Returns:
        A function of inputs (one tensor of pictures), labels and seed.

    Raises:
        ValueError: When called, if there are no labels for a task in `masks`.

    Example:

    ```python
    import tensorflow as tf

    def flip(x, seed):
        drawn = tf.random.stateless_uniform((tf.shape(x)[0], 1, 1, 1), [seed, 0]) < 0.5
        return tf.where(drawn, tf.reverse(x, [2]), x)

    source = {"image": np.zeros((4, 8, 8, 3), "uint8"), "mask": np.zeros((4, 8, 8), int)}
    label = mtlkeras.data.Label("mask", kind="mask", classes=("ground", "leaf"))
    train = mtlkeras.data.load(source, {"mask": label}, "image")
    train = mtlkeras.data.augment(train, mtlkeras.data.move_together(flip, ["mask"]), seed=1)
    ```
    """

    def moved(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        for task in masks:
            if task not in labels:
                raise unknown_name("task", task, labels, "masks= of move_together")
        parts = [tf.cast(images, tf.float32)]
        for task in masks:
            parts += _as_channels(labels[task])
        together = move(tf.concat(parts, -1), seed)
        pieces = iter(tf.split(together, [part.shape[-1] for part in parts], -1))
        images = _cast_like(next(pieces), images)
        changed = {task: _from_channels(labels[task], pieces) for task in masks}
        return images, {**labels, **changed}

    return moved


def _as_channels(y: Any) -> list[Any]:
    """Returns labels as float channels in which 0 is a missing one; of fractions beside what is known."""
    import tensorflow as tf

    wide = y if y.shape.rank == 4 else y[..., None]
    if not wide.dtype.is_floating:
        return [tf.cast(wide, tf.float32) - MISSING]
    known = ~tf.math.is_nan(wide)
    return [tf.where(known, wide, 0.0), tf.cast(known, tf.float32)]


def _from_channels(y: Any, pieces: Any) -> Any:
    import tensorflow as tf

    wide = next(pieces)
    if y.dtype.is_floating:
        wide = tf.where(next(pieces) > 0.5, tf.cast(wide, y.dtype), tf.constant(float("nan"), y.dtype))
    else:
        wide = tf.cast(tf.round(wide), y.dtype) + tf.cast(MISSING, y.dtype)
    return wide if y.shape.rank == 4 else wide[..., 0]


def _cast_like(x: Any, like: Any) -> Any:
    import tensorflow as tf

    return tf.cast(x, like.dtype) if like.dtype.is_floating else tf.saturate_cast(tf.round(x), like.dtype)
