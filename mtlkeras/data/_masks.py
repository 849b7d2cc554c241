"""Masks as labels: of arrays, or of files beside the pictures, decoded one at a time."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._errors import near_match
from mtlkeras._missing import MISSING
from mtlkeras.data._columns import Column, words
from mtlkeras.data._encoded import Encoded
from mtlkeras.data._images import by_any_name, files_of
from mtlkeras.data._mask_values import MaskClasses, in_size, read_mask, yes_no
from mtlkeras.data._options import Options
from mtlkeras.data._pictures import Pictures
from mtlkeras.data._progress import track
from mtlkeras.data._rows import Rows
from mtlkeras.data._store import kept
from mtlkeras.data.labels import Label
from mtlkeras.data.picture import picture_size

Names = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class MaskFiles:
    """The mask files of some rows, read and decoded one at a time.

    Args:
        task: Name of the task, for messages.
        names: For each row its files' names: one, or one for each yes/no mask; `None` where there is none.
        read: Gives the bytes of a file.
        state: Gives what tells that the files are no longer the same.
        classes: What the values mean; `None` for yes/no masks.
        pictures: The rows' pictures, whose sizes the masks have.
        size: `(height, width)` that each mask is brought to, once it is known.
    """

    task: str
    names: Sequence[Names]
    read: Callable[[str], bytes]
    state: Callable[[], Any]
    classes: MaskClasses | None
    pictures: Pictures
    size: tuple[int, int] = (0, 0)

    dtype = np.dtype("int32")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: np.ndarray) -> MaskFiles:
        names = [self.names[row] for row in rows]
        return dataclasses.replace(self, names=names, pictures=self.pictures.take(rows))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and the shape of a mask."""
        return len(self), *self.size, *(() if self.classes is not None else (len(self.names[0]),))

    @property
    def there(self) -> np.ndarray:
        """By row 0 where it has any file, and `MISSING` where not."""
        return np.array([0 if any(names) else MISSING for names in self.names], np.int32)

    def decode(self, row: int) -> np.ndarray:
        """Returns a mask as int32 of the size, with `MISSING` where it has no file.

        Raises:
            ValueError: If a file cannot be decoded, has another size than its picture, or a value that is no
                class; the message names it.
        """
        planes = [self._plane(row, name) for name in self.names[row]]
        return planes[0] if self.classes is not None else np.stack(planes, -1)

    def _plane(self, row: int, name: str | None) -> np.ndarray:
        if name is None:
            return np.full(self.size, MISSING, np.int32)
        try:
            pixels = read_mask(self.read(name), self.classes is not None and self.classes.colours)
        except (ValueError, zipfile.BadZipFile, zlib.error, OSError) as error:
            raise ValueError(f"Task '{self.task}': cannot decode mask '{name}': {error}") from error
        picture = self.pictures.names[row]
        size = picture_size(self.pictures.read(picture))
        if pixels.shape[:2] != size:
            own, wanted = (f"{height} x {width}" for height, width in (pixels.shape[:2], size))
            raise ValueError(
                f"Task '{self.task}': mask '{name}' has {own} pixels, and its picture '{picture}' {wanted}."
            )
        ids = yes_no(pixels) if self.classes is None else self.classes.ids(pixels, f"mask '{name}'")
        return in_size(ids, self.size)


def encode_masks(rows: Rows, task: str, label: Label, columns: Sequence[Column]) -> Encoded:
    """Returns the masks of a label: those of arrays as int32, files to be read later.

    Raises:
        ValueError: If a file is not there, or a value is none of the classes.
    """
    if rows.pictures is not None:
        return _of_files(rows, task, label, columns)
    values = columns[0].values
    if len(columns) > 1 or values.ndim < 3 or values.dtype.kind not in "biu":
        raise ValueError(
            f"Task '{task}': a mask comes from files beside pictures, or from one array of whole numbers of "
            f"shape (rows, height, width); received {_given(columns)}."
        )
    if values.ndim == 4 and values.shape[-1] == 1 and len(label.classes or ()) > 1:
        values = values[..., 0]
    if values.ndim == 4 and not isinstance(label.classes, Mapping):
        return _planes(task, label, values)
    classes = MaskClasses(task, label)
    if classes.colours != (values.ndim == 4):
        raise ValueError(
            f"Task '{task}': its classes are {'colours' if classes.colours else 'numbers'}, and its masks "
            f"have shape {values.shape}."
        )
    ids = [classes.ids(mask, f"the mask in {rows.row_name(row)}") for row, mask in enumerate(values)]
    return Encoded(np.stack(ids), "mask", classes.names)


def _planes(task: str, label: Label, values: np.ndarray) -> Encoded:
    """Returns yes/no masks of an array."""
    names = tuple(map(str, label.classes or range(values.shape[-1])))
    if len(names) != values.shape[-1]:
        raise ValueError(
            f"Task '{task}': {len(names)} classes are named for yes/no masks of shape {values.shape}."
        )
    ids = values.astype(np.int32)
    wrong = (ids < MISSING) | (ids > 1)
    if wrong.any():
        value = ids[wrong][0]
        raise ValueError(
            f"Task '{task}': the value {value} in {int((ids == value).sum()):,} pixels of yes/no masks, "
            f"which are 0, 1 or {MISSING}."
        )
    return Encoded(ids, "mask", names)


def _given(columns: Sequence[Column]) -> str:
    if len(columns) > 1:
        return f"{len(columns)} columns"
    return f"shape {columns[0].values.shape}, {columns[0].values.dtype}"


def _of_files(rows: Rows, task: str, label: Label, columns: Sequence[Column]) -> Encoded:
    pictures: Any = rows.pictures
    folder = _folder(pictures.folder, task, label)
    names, read, state = files_of(folder)
    by_name = by_any_name(names)
    found = [_found(rows, task, label, column, folder.name, by_name) for column in columns]
    per_row = list(zip(*found, strict=True))
    if len(columns) > 1:
        given = tuple(map(str, label.classes or label.columns))
        if len(given) != len(columns):
            raise ValueError(f"Task '{task}': {len(given)} classes are named for {len(columns)} columns.")
        return Encoded(MaskFiles(task, per_row, read, state, None, pictures), "mask", given)
    classes = MaskClasses(task, label)
    return Encoded(MaskFiles(task, per_row, read, state, classes, pictures), "mask", classes.names)


def _folder(source: Path, task: str, label: Label) -> Path:
    if label.files is None:
        return source
    given = Path(label.files)
    for path in (source / given, source.parent / given, given):
        if path.is_dir() or path.is_file():
            return path
    raise FileNotFoundError(
        f"Task '{task}': no folder or .zip of masks files='{label.files}' in or beside {source.name}."
    )


def _found(
    rows: Rows, task: str, label: Label, column: Column, folder: str, by_name: Mapping[str, str]
) -> list[str | None]:
    """Returns the name of each row's file."""
    found: list[str | None] = []
    for row, (name, gone) in enumerate(zip(words(column).tolist(), column.missing.tolist(), strict=True)):
        file = None if gone else by_name.get(str(name))
        if file is None and not gone and label.unseen != "missing":
            raise ValueError(
                f"Task '{task}': no mask, or several, in {folder} are called '{name}', as in "
                f"{rows.row_name(row)}.{near_match(str(name), by_name)} Leave its cell empty for no mask, or "
                "pass Label(..., unseen='missing')."
            )
        found.append(file)
    return found


def settled(task: str, encoded: Encoded, arrays: Mapping[str, Any], options: Options) -> Encoded:
    """Returns masks in the size of the pictures that are loaded; those that are kept are decoded.

    Args:
        task: Name of the task, for messages.
        encoded: Labels of kind `"mask"`.
        arrays: The inputs by name, ready.
        options: Arguments of `load`.

    Raises:
        ValueError: If masks and pictures differ in their size.
    """
    sizes = {
        name: tuple(a.shape[-3:-1])
        for name, a in arrays.items()
        if isinstance(a, Pictures) or (isinstance(a, np.ndarray) and a.ndim == 4)
    }
    masks = encoded.values
    if not isinstance(masks, MaskFiles):
        if options.image_size is not None:
            masks = _resized(masks, options.image_size)
        for name, size in sizes.items():
            _check_size(task, masks.shape[1:3], name, size)
        return dataclasses.replace(encoded, values=masks)
    size = next(iter(sizes.values()), options.image_size)
    if size is None:
        raise ValueError(f"Task '{masks.task}': masks need the pictures among inputs=, or image_size=.")
    masks = dataclasses.replace(masks, size=size)
    if not options.cache:
        return dataclasses.replace(encoded, values=masks)
    spelt = None if masks.classes is None else (masks.classes.names, masks.classes.key)
    identity = ("masks 1", masks.state(), masks.names, masks.pictures.names, size, spelt)
    values = kept(options.cache, identity, lambda: {"masks": _decoded(masks, options)})["masks"]
    return dataclasses.replace(encoded, values=values)


def _resized(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if masks.ndim == 3:
        return in_size(masks, size)
    return np.moveaxis(in_size(np.moveaxis(masks, -1, 1), size), 1, -1)


def _check_size(task: str, own: tuple[int, ...], name: str, size: tuple[int, ...]) -> None:
    if own != size:
        shown = [f"{height} x {width}" for height, width in (own, size)]
        raise ValueError(
            f"Task '{task}': its masks have {shown[0]} pixels, the pictures '{name}' {shown[1]}."
        )


def _decoded(masks: MaskFiles, options: Options) -> np.ndarray:
    with ThreadPoolExecutor(options.num_parallel) as pool:
        done = pool.map(masks.decode, range(len(masks)))
        return np.stack(list(track(done, len(masks), "Decoding masks", options.verbose)))
