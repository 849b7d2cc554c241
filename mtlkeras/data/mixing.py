"""Mixtures of two examples, for `augment`: the labels of every head mixed as its loss can take them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING
from mtlkeras.data.changes import box, is_by_pixel, is_picture, rows_of
from mtlkeras.heads import Head
from mtlkeras.heads._labels import ClassLabels
from mtlkeras.specs import Spec, spec


@dataclasses.dataclass(frozen=True, repr=False)
class _Mixing(Spec):
    """What both mixtures have: the heads, and the distribution of the share."""

    heads: Mapping[str, Head]
    alpha: float = 1.0

    def validate(self) -> None:
        name = type(self).__name__
        if not self.alpha > 0:
            raise ValueError(f"{name}: alpha must be above zero; received {self.alpha!r}.")
        for task, head in self.heads.items():
            if head.label_form.by_step and head.kind == "sequence":
                raise ValueError(
                    f"{name}: the labels of task '{task}' ({type(head).__name__}) are tags of a sequence, "
                    "which cannot be mixed."
                )

    def _shares(self, rows: Any, seed: Any) -> Any:
        """Draws the share of each example itself, Beta(alpha, alpha)."""
        import tensorflow as tf

        one, other = (
            tf.random.stateless_gamma((rows,), [seed, 10 + n], self.alpha, dtype=tf.float32) for n in range(2)
        )
        return one / tf.maximum(one + other, 1e-30)

    def _check(self, y: Mapping[str, Any]) -> None:
        for task in y:
            if task not in self.heads:
                raise unknown_name("task", task, self.heads, f"heads= of {type(self).__name__}")

    def _mixed_labels(self, y: Mapping[str, Any], other: Any, share: Any, seed: Any, inside: Any) -> Any:
        import tensorflow as tf

        drawn = tf.random.stateless_uniform(tf.shape(share), [seed, 12]) < share
        return {
            task: _pasted(tf.convert_to_tensor(v), other, inside)
            if inside is not None and is_by_pixel(v)
            else _mixed(self.heads[task], tf.convert_to_tensor(v), other, share, drawn)
            for task, v in y.items()
        }


@spec
class MixUp(_Mixing):
    """Mixes each example of a batch with another one: share * own + (1 - share) * other.

    The share is drawn from Beta(alpha, alpha) for each example. Pictures and other inputs of floats are
    mixed; so are the labels of each head:
    - of `Classification` they become rows of probabilities, which its loss takes;
    - numbers (`Regression`) are mixed as they are;
    - of all others (`Ordinal`, `MultiLabel`, classes by pixel), whose labels cannot be shares, the example's
      own are taken with the chance of its share and else the other's: in expectation the loss is that of
      mixed labels, share * L(own) + (1 - share) * L(other).

    Where the label of one of the two is missing that of the mixture is, too.

    Args:
        heads: The heads by task, such as `model.heads`.
        alpha: Of the Beta distribution; above zero. Small values mix little.

    Called with inputs, labels and a seed, as by `augment`.

    Raises:
        ValueError: If a head tags sequences, an input is neither of pictures nor of floats, or labels belong
            to no head.

    Reference: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, eq. of section 2.

    Example:

    ```python
    mix = mtlkeras.data.MixUp({"kind": mtlkeras.heads.Classification(3)}, alpha=0.4)
    x, y = mix(np.ones((2, 4, 4, 1), "float32"), {"kind": np.array([0, 2])}, seed=0)
    y["kind"].shape  # (2, 3)
    ```
    """

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        self._check(y)
        share = self._shares(rows_of(x), seed)
        other = _partners(share, seed)

        def mixed(values: Any) -> Any:
            values = tf.convert_to_tensor(values)
            if not (values.dtype.is_floating or is_picture(values)):
                raise ValueError(f"MixUp: an input of type {values.dtype.name} cannot be mixed.")
            weight = tf.reshape(share, (-1, *[1] * (len(values.shape) - 1)))
            exact = tf.cast(values, tf.float32)
            found = weight * exact + (1.0 - weight) * tf.gather(exact, other)
            return tf.cast(found if values.dtype.is_floating else tf.round(found), values.dtype)

        return tf.nest.map_structure(mixed, x), self._mixed_labels(y, other, share, seed, None)


@spec
class CutMix(_Mixing):
    """Puts a box of another picture of the batch into each picture, and mixes the labels by the box's share.

    The box has the picture's proportions and an area of 1 - share, share drawn from Beta(alpha, alpha),
    around a pixel drawn; what lies outside is cut off, and the share is then that of the pixels left. Labels
    by pixel come with the box, exactly; all others are mixed as by `MixUp`.

    Args:
        heads: The heads by task, such as `model.heads`.
        alpha: Of the Beta distribution; above zero.

    Called with inputs, labels and a seed, as by `augment`.

    Raises:
        ValueError: If a head tags sequences, an input is not of pictures, pictures differ in size, or labels
            belong to no head.

    Reference: Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers, eq. 1 and 2.

    Example:

    ```python
    mix = mtlkeras.data.CutMix({"kind": mtlkeras.heads.Classification(3)})
    x, y = mix(np.ones((2, 4, 4, 1), "float32"), {"kind": np.array([0, 2])}, seed=0)
    ```
    """

    def __call__(self, x: Any, y: Any, seed: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        self._check(y)
        pictures = [tf.convert_to_tensor(value) for value in tf.nest.flatten(x)]
        if not all(is_picture(value) for value in pictures):
            raise ValueError("CutMix: every input must be of pictures, of shape (height, width, channels).")
        if len({tuple(value.shape[1:3]) for value in pictures}) > 1:
            raise ValueError("CutMix: pictures of several sizes have no box in common.")
        inside = self._boxes(tf.shape(pictures[0]), seed)
        share = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=(1, 2))
        other = _partners(share, seed)
        inputs = tf.nest.map_structure(lambda v: _pasted(tf.convert_to_tensor(v), other, inside), x)
        return inputs, self._mixed_labels(y, other, share, seed, inside)

    def _boxes(self, shape: Any, seed: Any) -> Any:
        import tensorflow as tf

        side = tf.sqrt(1.0 - self._shares(shape[0], seed))
        middle = tf.random.stateless_uniform((shape[0], 2), [seed, 13])

        def ends(size: Any, place: Any) -> tuple[Any, Any]:
            length = tf.cast(tf.round(side * tf.cast(size, tf.float32)), tf.int32)
            first = tf.cast(place * tf.cast(size, tf.float32), tf.int32) - length // 2
            return first, first + length

        (top, bottom), (left, right) = ends(shape[1], middle[:, 0]), ends(shape[2], middle[:, 1])
        return box(shape[1], shape[2], top, left, bottom, right)


def _partners(share: Any, seed: Any) -> Any:
    """Draws the other example of each: those of a batch in another order."""
    import tensorflow as tf

    return tf.random.experimental.stateless_shuffle(tf.range(tf.shape(share)[0]), [seed, 11])


def _pasted(values: Any, other: Any, inside: Any) -> Any:
    import tensorflow as tf

    inside = tf.reshape(inside, tf.concat([tf.shape(inside), [1] * (len(values.shape) - 3)], 0))
    return tf.where(inside, tf.gather(values, other), values)


def _mixed(head: Head, y: Any, other: Any, share: Any, drawn: Any) -> Any:
    """Returns the labels of mixtures, as the head's loss takes them."""
    import tensorflow as tf

    form = head.label_form
    if form.are_numbers and y.dtype.is_floating:
        weight = tf.reshape(tf.cast(share, y.dtype), (-1, *[1] * (len(y.shape) - 1)))
        return weight * y + (1 - weight) * tf.gather(y, other)  # NaN where one is.
    if isinstance(form, ClassLabels) and form.rows:
        rows = _rows(form, y)
        weight = tf.cast(share, rows.dtype)[:, None]
        return weight * rows + (1 - weight) * tf.gather(rows, other)
    others = tf.gather(y, other)
    own = tf.reshape(drawn, (-1, *[1] * (len(y.shape) - 1)))
    missing = _missing(y) | _missing(others)
    marker = tf.cast(math.nan if y.dtype.is_floating else MISSING, y.dtype)
    return tf.where(missing, marker, tf.where(own, y, others))


def _rows(form: ClassLabels, y: Any) -> Any:
    """Returns classes as rows of probabilities, NaN where a class is missing or none of the known."""
    import tensorflow as tf

    y = form.arranged(y)
    if form.are_rows(y):
        rows, gone = tf.cast(y, tf.float32), tf.reduce_any(_missing(y), axis=-1)
    else:
        known = ~_missing(y)
        indices = tf.where(known, y, tf.zeros_like(y))
        rows = tf.one_hot(tf.cast(indices, tf.int32), form.count)
        gone = ~known | (indices < tf.cast(0, y.dtype))  # `UNSEEN` is no class to mix.
    return tf.where(gone[:, None], math.nan, rows)


def _missing(y: Any) -> Any:
    import tensorflow as tf

    if y.dtype.is_floating:
        return tf.math.is_nan(y) | (y == MISSING)
    return tf.zeros_like(y, tf.bool) if y.dtype == tf.bool or y.dtype.is_unsigned else y == MISSING
