"""One mask: from the values or colours of its pixels to class ids."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._missing import MISSING, UNSEEN
from mtlkeras.data.labels import Label

_UNKNOWN = -3  # None of the labels' own markers.


def read_mask(data: bytes, colours: bool) -> np.ndarray:
    """Decodes a picture of labels, without any change to its values.

    Args:
        data: The bytes of a file.
        colours: Whether the labels are colours; else numbers, of a palette its indices.

    Returns:
        Whole numbers of shape `(height, width)`, or `(height, width, 3)` for colours.

    Raises:
        ValueError: If it cannot be decoded, or has colours where numbers are meant.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if colours:
                return np.asarray(image.convert("RGB"))
            if image.mode in ("RGB", "RGBA", "LA"):
                image = _one_channel(image)
            pixels = np.asarray(image)
            return pixels.astype(np.uint8) if image.mode == "1" else pixels
    except Image.UnidentifiedImageError as error:
        raise ValueError("Unknown image file format.") from error
    except (OSError, SyntaxError) as error:  # What Pillow raises for damaged files.
        raise ValueError(f"{str(error).rstrip('.')}.") from error


def _one_channel(image: Any) -> Any:
    """Returns grey that was stored as a colour as one channel."""
    bands = np.asarray(image.convert("RGB"))
    if (bands != bands[..., :1]).any():
        raise ValueError("It is in colours; give classes={name: (red, green, blue)}.")
    return image.convert("RGB").getchannel(0)


def in_size(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns masks `(..., height, width)` in another size, each pixel that of the nearest middle."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    return mask if mask.shape[-2:] == size else mask[..., rows[:, None], columns[None, :]]


class MaskClasses:
    """What the values of pixels mean.

    Args:
        task: Name of the task, for messages.
        label: Its spec. `classes` names the values 0, 1, ... in order, or maps each name to a value, a colour
            of three numbers, or several of these.

    Raises:
        ValueError: If there are no classes, or they are numbers and colours.
    """

    def __init__(self, task: str, label: Label) -> None:
        if label.classes is None:
            raise ValueError(
                f"Task '{task}': a mask needs Label(..., classes=...): names in the order of their values, "
                "or a mapping from a name to a value or to a colour (red, green, blue)."
            )
        self._task, self._unseen = task, label.unseen
        by_name = label.classes if isinstance(label.classes, Mapping) else dict(_numbered(label.classes))
        self.names = tuple(str(name) for name in by_name)
        values = [(v, i) for i, given in enumerate(by_name.values()) for v in _listed(given)]
        values += [(v, MISSING) for v in label.missing]
        kinds = {isinstance(value, tuple) for value, _ in values}
        if len(kinds) != 1 or not all(_is_value(value) for value, _ in values):
            raise ValueError(
                f"Task '{task}': the classes of a mask must be whole numbers or colours (red, green, blue), "
                f"all of one kind; received {dict(by_name)!r} and missing={tuple(label.missing)!r}."
            )
        self.colours = kinds.pop()
        self._ids = {_packed(np.asarray(value)).item(): i for value, i in values}
        if not self.colours:
            self._ids.setdefault(MISSING, MISSING)
        self._table = np.array([self._ids.get(value, _UNKNOWN) for value in range(256)], np.int32)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells these classes from others."""
        return self.colours, tuple(sorted(self._ids.items())), self._unseen

    def ids(self, pixels: np.ndarray, where: str) -> np.ndarray:
        """Returns the class id of each pixel, int32.

        Args:
            pixels: Whole numbers, or for colours with three on the last axis.
            where: Names the mask in messages.

        Raises:
            ValueError: If one is none of the classes, and that is an error.
        """
        ids = self._looked_up(pixels)
        unknown = ids == _UNKNOWN
        if not unknown.any():
            return ids
        if self._unseen == "error":
            value = pixels[tuple(np.argwhere(unknown)[0])]
            same = (pixels == value).all(-1) if self.colours else pixels == value
            many = int(same.sum())
            what = f"colour {tuple(value.tolist())}" if self.colours else f"value {value}"
            raise ValueError(
                f"Task '{self._task}': {where} has the {what} in {many:,} pixels, which is none of its "
                f"classes ({_shown(self._ids)}). Values that stand for no label belong in "
                "Label(..., missing=[...])."
            )
        return np.where(unknown, np.int32(MISSING if self._unseen == "missing" else UNSEEN), ids)

    def _looked_up(self, pixels: np.ndarray) -> np.ndarray:
        if not self.colours and pixels.dtype == np.uint8:
            return self._table[pixels]
        values, places = np.unique(_packed(pixels) if self.colours else pixels, return_inverse=True)
        ids = np.array([self._ids.get(value, _UNKNOWN) for value in values.tolist()], np.int32)
        return ids[places].reshape(pixels.shape[:-1] if self.colours else pixels.shape)


def yes_no(pixels: np.ndarray) -> np.ndarray:
    """Returns 1 where a picture of one class is anything but 0."""
    return (pixels.reshape(*pixels.shape[:2], -1) != 0).any(-1).astype(np.int32)


def _numbered(names: Any) -> list[tuple[Any, int]]:
    return [(name, i) for i, name in enumerate(names)]


def _listed(given: Any) -> list[Any]:
    """Returns the values of one class: a colour is one, another tuple several."""
    if not isinstance(given, (list, tuple)):
        return [given]
    if len(given) == 3 and not isinstance(given[0], (list, tuple)):
        return [tuple(given)]
    return [tuple(v) if isinstance(v, (list, tuple)) else v for v in given]


def _is_value(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    wide = len(parts) in (1, 3) if isinstance(value, tuple) else True
    return wide and all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in parts)


def _packed(values: np.ndarray) -> np.ndarray:
    """Returns colours as one number each; numbers as they are."""
    values = np.asarray(values)
    if values.ndim and values.shape[-1] == 3:
        return values.astype(np.int64) @ np.array([65536, 256, 1])
    return values


def _shown(ids: Mapping[int, int]) -> str:
    values = [value for value, i in ids.items() if i >= 0]
    wide = any(value > 255 for value in values)
    shown = [str((v >> 16, v >> 8 & 255, v & 255)) if wide else str(v) for v in values]
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "")
