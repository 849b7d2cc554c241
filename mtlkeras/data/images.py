"""Pictures in a folder or a zip file, with a table of labels."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mtlkeras._errors import near_match, unknown_name
from mtlkeras.data.columns import word, words
from mtlkeras.data.picture import IMAGE_SUFFIXES, read_picture
from mtlkeras.data.progress import track
from mtlkeras.data.rows import PICTURE, Rows
from mtlkeras.data.store import file_state
from mtlkeras.data.table import SUFFIXES, read_table

_IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "id")
_LABEL_FILES = tuple(f"labels{suffix}" for suffix in SUFFIXES)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The picture files of some rows, read and decoded one at a time.

    Args:
        names: File name of each row's picture.
        read: Gives the bytes of a file.
        state: Gives what tells that the files are no longer the same.
        size: `(height, width)` that each picture is brought to, or `None` for the size of
            the first one, which all others must then have.
        channels: 1, 3 or 4, or `None` for those of the first one.
    """

    names: Sequence[str]
    read: Callable[[str], bytes]
    state: Callable[[], Any]
    size: tuple[int, int] | None = None
    channels: int | None = None

    def take(self, rows: np.ndarray) -> Pictures:
        """Returns the pictures of some rows."""
        return dataclasses.replace(self, names=[self.names[row] for row in rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of all pictures of a settled set."""
        if self.size is None or self.channels is None:
            raise ValueError("The size of these pictures is not known yet.")
        return (*self.size, self.channels)

    def decode(self, row: int) -> np.ndarray:
        """Returns a picture as `uint8` of shape `(height, width, channels)`.

        Raises:
            ValueError: If it cannot be decoded; the message names the file.
        """
        name = self.names[row]
        try:
            return read_picture(self.read(name), self.size, self.channels)
        except (ValueError, zipfile.BadZipFile, zlib.error, OSError) as error:
            reason = f"Cannot decode image '{name}': {str(error).rstrip('.')}."
            raise ValueError(f"{reason} Pass on_error='skip' to leave such pictures out.") from error

    def settled(self) -> Pictures:
        """Returns the same with size and channels known, from the first picture that decodes."""
        if self.size is not None and self.channels is not None:
            return self
        error: ValueError | None = None
        for row in range(len(self.names)):
            try:
                height, width, channels = self.decode(row).shape
            except ValueError as failure:
                error = error or failure
                continue
            return dataclasses.replace(
                self, size=self.size or (height, width), channels=self.channels or channels
            )
        raise error or ValueError("There are no pictures to load.")

    def checked(self, row: int, resized: bool) -> np.ndarray:
        """Decodes a picture of a settled set; without resizing its size must be the common one."""
        if resized:
            return self.decode(row)
        picture = dataclasses.replace(self, size=None).decode(row)
        if picture.shape[:2] != self.shape[:2]:
            own, first = (f"{height} x {width}" for height, width in (picture.shape[:2], self.shape[:2]))
            raise ValueError(
                f"Image '{self.names[row]}' has {own} pixels where the first one has {first}. "
                "Pass image_size=(height, width) to bring all to one size."
            )
        return picture


def open_pictures(path: Path, labels: Any, image_column: str | None, on_error: str) -> Rows:
    """Opens a folder or a zip file of pictures with a table of labels.

    Args:
        path: The folder or zip file.
        labels: Path of the table; `None` for `labels.csv` (`.json`, ...) in the folder or
            beside the zip file.
        image_column: Column with the file names, with or without their folder and ending;
            `None` for the first of image, file, filename, file_name, path, id.
        on_error: `"raise"`, or `"skip"` to leave out rows whose file is not there.
    """
    files, read, state = _zip_files(path) if path.is_file() else _folder_files(path)
    table = read_table(_label_file(path, labels), on_error)
    column = table.column(image_column or _image_column(table), "image_column=")
    known = _by_any_name(files)
    found = [known.get(name) for name in words(column)]
    rows, names, skipped = [], [], list(table.skipped)
    for row, name in enumerate(found):
        if name is not None:
            rows.append(row)
            names.append(name)
        else:
            _absent(table, row, word(column.values[row]), path, known, on_error)
            skipped.append(table.row_name(row))
    unlisted = len(set(files) - set(names))
    notes = [f"{unlisted} pictures have no row in {table.name} and are not used"] if unlisted else []
    kept = table.take(np.array(rows, np.int64))
    pictures = Pictures(names, read, state)
    name = f"{table.name} ({path.name})"
    return dataclasses.replace(
        kept, name=name, pictures=pictures, default_inputs=(PICTURE,), skipped=skipped, notes=notes
    )


def _absent(table: Rows, row: int, name: str, path: Path, known: Iterable[str], on_error: str) -> None:
    if on_error != "skip":
        raise ValueError(
            f"None or several images in {path.name} are called '{name}', as in {table.row_name(row)}."
            f"{near_match(name, known)} Pass on_error='skip' to leave such rows out."
        )


def has_labels(folder: Path) -> bool:
    """Whether a folder holds a table of labels under a usual name."""
    return any((folder / name).is_file() for name in _LABEL_FILES)


def _label_file(path: Path, labels: Any) -> Path:
    folder = path if path.is_dir() else path.parent
    if labels is None:
        for name in _LABEL_FILES:
            if (folder / name).is_file():
                return folder / name
        raise ValueError(
            f"No table of labels beside the pictures in {path.name}; give labels='...csv' or '...json'."
        )
    for candidate in (Path(labels), folder / labels):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"No file labels='{labels}'.")


def _image_column(table: Rows) -> str:
    for name in _IMAGE_COLUMNS:
        if name in table.columns:
            return name
    raise unknown_name(
        "column", " or ".join(_IMAGE_COLUMNS), table.columns, f"{table.name}; give image_column="
    )


_Files = tuple[list[str], Callable[[str], bytes], Callable[[], Any]]


def _folder_files(folder: Path) -> _Files:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    names = [p.relative_to(folder).as_posix() for p in paths]
    return names, lambda name: (folder / name).read_bytes(), lambda: [file_state(p) for p in paths]


def _zip_files(path: Path) -> _Files:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"Cannot read {path.name}: {error}.") from error
    names = [name for name in archive.namelist() if name.lower().endswith(IMAGE_SUFFIXES)]
    return names, archive.read, lambda: file_state(path)


def _by_any_name(files: Sequence[str]) -> dict[str, str]:
    """Maps each way to write a file's name to it: with or without folder and ending.

    The longer way wins; a way that fits several files equally fits none.
    """
    known: dict[str, str] = {}
    for way in (str, lambda p: str(p.with_suffix("")), lambda p: p.name, lambda p: p.stem):
        aliases = [way(PurePosixPath(name)) for name in files]
        count = Counter(aliases)
        for alias, name in zip(aliases, files, strict=True):
            if count[alias] == 1:
                known.setdefault(alias, name)
    return known


def decode_all(
    pictures: Pictures, resized: bool, keep: bool, skip: bool, workers: int | None, verbose: Any
) -> tuple[Any, dict[int, str]]:
    """Decodes every picture once, several at a time.

    Args:
        pictures: A settled set.
        resized: Whether pictures may differ in their size on disk.
        keep: Whether to return them, as one array.
        skip: Whether to go on after a picture that cannot be decoded.
        workers: Pictures to decode at a time; `None` adapts.
        verbose: See `load`.

    Returns:
        The array or `None`, and the reason for each row that could not be decoded.
    """
    kept = np.zeros((len(pictures.names), *pictures.shape), np.uint8) if keep else None
    bad: dict[int, str] = {}

    def work(row: int) -> None:
        try:
            picture = pictures.checked(row, resized)
        except ValueError as error:
            if not skip:
                raise
            bad[row] = str(error)
            return
        if kept is not None:
            kept[row] = picture

    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(work, range(len(pictures.names)))
        try:
            for _ in track(done, len(pictures.names), "Decoding pictures", verbose):
                pass
        except ValueError:
            pool.shutdown(cancel_futures=True)
            raise
    return kept, bad
