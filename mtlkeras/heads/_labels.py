"""What labels of a head look like: their shape, which are missing, and which cannot be.

One form serves every way in. What marks a missing label is decided on the type that the labels come
in, before any cast: a bool or an unsigned number is never missing, whatever its value.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras._missing import MISSING, UNSEEN
from mtlkeras._types import Tensor

# How far the sum of a row of probabilities may be from 1: 16-bit floats round that much.
_SUM_TOLERANCE = 0.01


def present(y: Tensor) -> Tensor:
    """Returns where a label of a tensor is known: neither `MISSING` nor NaN."""
    dtype = keras.backend.standardize_dtype(y.dtype)
    if dtype == "bool" or dtype.startswith("uint"):
        return ops.ones_like(y, dtype="bool")
    mask = ops.not_equal(y, ops.cast(MISSING, dtype))
    if keras.backend.is_float_dtype(dtype):
        mask = ops.logical_and(mask, ops.logical_not(ops.isnan(y)))
    return mask


class LabelForm:
    """The labels of one kind of head."""

    # Whether each entry of an example's label may be missing alone.
    by_entry: ClassVar[bool] = False
    # Whether an example has a label for each step of a sequence, or for each pixel.
    by_step: ClassVar[bool] = False
    # Whether labels are numbers to come close to, and not classes.
    are_numbers: ClassVar[bool] = False
    # What targets are where no label is, if the loss looks there; else any valid value.
    unknown: ClassVar[float | None] = None
    # What the labels are, for messages.
    expected: str
    # Number of classes, of yes/no labels, or of numbers.
    count: int

    def arranged(self, y: Tensor) -> Any:
        """Returns an array or tensor of labels without axes of length 1 that stand for nothing.

        Raises:
            ValueError: If the shape does not fit.
        """
        raise NotImplementedError

    def labelled(self, y: Tensor) -> Tensor:
        """Returns a bool mask of the arranged labels that are there."""
        return present(y)

    def unseen(self, y: Tensor) -> Tensor | None:
        """Returns which arranged labels of a tensor are known to be none of the classes; `None` for none.

        They are no labels to learn from, and no answer is right for them.
        """
        return None

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        """Returns arranged labels in the head's own form, with any valid value where `mask` is false."""
        raise NotImplementedError

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        """Returns which arranged labels are neither missing nor what the head knows.

        Args:
            y: A NumPy array, or a tensor of TensorFlow of a type that holds every marker.
            xp: What has `sum` and `any` with `axis` and `keepdims` for it; beside them only operators
                are used.
        """
        raise NotImplementedError

    def legal(self, targets: Tensor) -> Tensor | None:
        """Returns which targets the head knows: bool of the shape of the mask, or `None` for any."""
        return None

    def kept_as(self, y: Tensor) -> str:
        """Returns the type that a model is given arranged labels in, whatever type they come in.

        Steps are then traced once for all types, and Keras has no class to cast to `floatx`, in which
        one of many may not exist.
        """
        return "int32"


@dataclasses.dataclass(frozen=True)
class ClassLabels(LabelForm):
    """One class index for each example, or (`rows`) a row of probabilities.

    Args:
        count: Number of classes.
        rows: Whether rows of shape `(batch, count)` are labels, too.
        what: What a label is called in messages.
    """

    count: int
    rows: bool = False
    what: str = "class indices"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"the classes 0 to {self.count - 1}"

    def are_rows(self, y: Tensor) -> bool:
        """Returns whether labels are rows of probabilities."""
        return self.rows and len(y.shape) == 2 and y.shape[-1] == self.count

    def arranged(self, y: Tensor) -> Any:
        if self.are_rows(y):
            return y
        if len(y.shape) == 2 and y.shape[-1] == 1:
            return y[:, 0]
        if len(y.shape) != 1:
            or_rows = f" or rows of shape (batch, {self.count})" if self.rows else ""
            raise ValueError(
                f"expected {self.what} of shape (batch,){or_rows}; received shape {tuple(y.shape)}."
            )
        return y

    def labelled(self, y: Tensor) -> Tensor:
        return ops.all(present(y), axis=-1) if self.are_rows(y) else _not_missing(y)

    def unseen(self, y: Tensor) -> Tensor | None:
        return None if self.are_rows(y) else _unseen(y)

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        """Returns class indices, or float rows for labels that were given as rows."""
        if self.are_rows(y):
            return ops.where(ops.expand_dims(mask, -1), ops.cast(y, "float32"), 1.0 / self.count)
        return ops.where(mask, ops.cast(y, "int32"), 0)

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        if not self.are_rows(y):
            return outside(y, self.count, unseen=True)
        total = xp.sum(y, axis=-1, keepdims=True)
        no_share = (y < 0) | (y > 1) | (total < 1 - _SUM_TOLERANCE) | (total > 1 + _SUM_TOLERANCE)
        return no_share & ~xp.any((y == MISSING) | (y != y), axis=-1, keepdims=True)

    def legal(self, targets: Tensor) -> Tensor | None:
        if len(targets.shape) == 2:
            return None
        return ops.logical_and(targets >= 0, targets < self.count)

    def kept_as(self, y: Tensor) -> str:
        return "float32" if self.are_rows(y) else "int32"


@dataclasses.dataclass(frozen=True)
class YesNoLabels(LabelForm):
    """A 0 or 1 for each of `count` labels of an example.

    Args:
        count: Number of labels.
    """

    count: int
    by_entry: ClassVar = True
    expected = "the classes 0 to 1"

    def arranged(self, y: Tensor) -> Any:
        if len(y.shape) == 1 and self.count == 1:
            y = y[:, None]
        if len(y.shape) != 2 or y.shape[-1] != self.count:
            raise ValueError(
                f"expected 0/1 rows of shape (batch, {self.count}); received shape {tuple(y.shape)}."
            )
        return y

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        return ops.where(mask, ops.cast(y, "float32"), 0.0)

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        return outside(y, 2)

    def legal(self, targets: Tensor) -> Tensor | None:
        return ops.logical_or(targets == 0.0, targets == 1.0)


@dataclasses.dataclass(frozen=True)
class NumberLabels(LabelForm):
    """`count` numbers for each example.

    Args:
        count: How many numbers.
    """

    count: int
    by_entry: ClassVar = True
    are_numbers: ClassVar = True
    expected = "the finite numbers"

    def arranged(self, y: Tensor) -> Any:
        if len(y.shape) == 1 and self.count == 1:
            y = y[:, None]
        if len(y.shape) != 2 or y.shape[-1] != self.count:
            raise ValueError(
                f"expected numbers of shape (batch, {self.count}); received shape {tuple(y.shape)}."
            )
        return y

    def labelled(self, y: Tensor) -> Tensor:
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(y.dtype)):
            return ops.logical_not(ops.isnan(y))
        return present(y)

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        return ops.where(mask, ops.cast(y, "float32"), 0.0)

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        return abs(y) == float("inf")

    def kept_as(self, y: Tensor) -> str:
        return "float32"


@dataclasses.dataclass(frozen=True)
class StepLabels(LabelForm):
    """A class index for each step of a sequence.

    Args:
        count: Number of classes.
    """

    count: int
    by_step: ClassVar = True
    unknown: ClassVar = MISSING

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"the classes 0 to {self.count - 1}"

    def arranged(self, y: Tensor) -> Any:
        if len(y.shape) == 3 and y.shape[-1] == 1:
            y = y[..., 0]
        if len(y.shape) != 2:
            raise ValueError(
                f"expected tag indices of shape (batch, time), with {MISSING} where there is no tag; "
                f"received shape {tuple(y.shape)}."
            )
        return y

    def labelled(self, y: Tensor) -> Tensor:
        return _not_missing(y)

    def unseen(self, y: Tensor) -> Tensor | None:
        return _unseen(y)

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        """Returns tag indices, with `MISSING` where the tag is not known."""
        return ops.where(mask, ops.cast(y, "int32"), MISSING)

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        return outside(y, self.count, unseen=True)

    def legal(self, targets: Tensor) -> Tensor | None:
        return ops.logical_and(targets >= MISSING, targets < self.count)


@dataclasses.dataclass(frozen=True)
class PixelLabels(StepLabels):
    """A class index for each pixel of a picture; in a row they are steps.

    Args:
        count: Number of classes.
    """

    def arranged(self, y: Tensor) -> Any:
        """Returns labels of shape `(batch, height, width)`, or in a row as they are."""
        if len(y.shape) == 4 and y.shape[-1] == 1:
            y = y[..., 0]
        if len(y.shape) not in (2, 3):
            raise ValueError(
                f"expected class indices of shape (batch, height, width), with {MISSING} where there is no "
                f"label; received shape {tuple(y.shape)}."
            )
        return y


@dataclasses.dataclass(frozen=True)
class MaskLabels(LabelForm):
    """A 0 or 1 for each pixel of each of `count` masks; in a row, pixel after pixel, they are entries.

    Args:
        count: Number of masks.
    """

    count: int
    by_entry: ClassVar = True
    unknown: ClassVar = MISSING
    expected = "the classes 0 to 1"

    def arranged(self, y: Tensor) -> Any:
        """Returns labels of shape `(batch, height, width, masks)`, or in a row as they are."""
        return _with_channels(y, self.count, "0/1 masks", MISSING)

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        """Returns zeros and ones, with `MISSING` where the label is not known."""
        return ops.where(mask, ops.cast(y, "float32"), float(MISSING))

    def wrong(self, y: Tensor, xp: Any = np) -> Tensor:
        return outside(y, 2)

    def legal(self, targets: Tensor) -> Tensor | None:
        known = ops.logical_or(targets == 0.0, targets == 1.0)
        return ops.logical_or(known, targets == float(MISSING))


@dataclasses.dataclass(frozen=True)
class PixelNumbers(NumberLabels):
    """`count` numbers for each pixel of a picture; in a row, pixel after pixel, they are entries.

    Args:
        count: How many numbers a pixel has.
    """

    def arranged(self, y: Tensor) -> Any:
        """Returns labels of shape `(batch, height, width, count)`, or in a row as they are."""
        return _with_channels(y, self.count, "numbers", "NaN")


def _with_channels(y: Tensor, count: int, what: str, gap: Any) -> Any:
    """Returns labels with an axis for the channels of a pixel, or in a row as they are.

    Raises:
        ValueError: If the shape does not fit.
    """
    if len(y.shape) == 3 and count == 1:
        y = y[..., None]
    if len(y.shape) == 2 or (len(y.shape) == 4 and y.shape[-1] == count):
        return y
    raise ValueError(
        f"expected {what} of shape (batch, height, width, {count}), with {gap} where there is no label; "
        f"received shape {tuple(y.shape)}."
    )


def _unseen(y: Tensor) -> Tensor | None:
    """Returns where a label is `UNSEEN`; `None` for a type that it does not fit into."""
    if keras.backend.standardize_dtype(y.dtype) not in ("int32", "int64", "float32", "float64"):
        return None
    return ops.equal(y, ops.cast(UNSEEN, y.dtype))


def _not_missing(y: Tensor) -> Tensor:
    unseen = _unseen(y)
    return present(y) if unseen is None else ops.logical_and(present(y), ops.logical_not(unseen))


def outside(y: Tensor, count: int, unseen: bool = False) -> Tensor:
    """Returns which labels are neither missing nor a whole number from 0 to `count - 1`.

    Args:
        y: The labels.
        count: Number of classes.
        unseen: Whether `UNSEEN` is a label, too.
    """
    wrong = (y < MISSING) | (y >= count)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(y.dtype)):
        # NaN is in no order and has no rest that equals 0, and is missing; infinity has a rest of NaN.
        wrong = (wrong | (y % 1 != 0)) & (y == y)
    return wrong & (y != UNSEEN) if unseen else wrong
