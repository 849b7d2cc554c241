"""Pictures in a folder or a zip file, with a table of labels."""

from __future__ import annotations

import dataclasses
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mtlkeras._errors import near_match, unknown_name
from mtlkeras.data._columns import word, words
from mtlkeras.data._pictures import Pictures
from mtlkeras.data._progress import track
from mtlkeras.data._rows import PICTURE, Rows
from mtlkeras.data._store import file_state
from mtlkeras.data._table import SUFFIXES, read_table
from mtlkeras.data.picture import IMAGE_SUFFIXES

_IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "id")
_LABEL_FILES = tuple(f"labels{suffix}" for suffix in SUFFIXES)


def open_pictures(
    path: Path, labels: Any, image_column: str | None, on_error: str, split_column: str | None = None
) -> Rows:
    """Opens a folder or a zip file of pictures with a table of labels.

    Args:
        path: The folder or zip file.
        labels: Path of the table; `None` for `labels.csv` (`.json`, ...) in the folder or
            beside the zip file.
        image_column: Column with the file names, with or without their folder and ending;
            `None` for the first of image, file, filename, file_name, path, id.
        on_error: `"raise"`, or `"skip"` to leave out rows whose file is not there.
        split_column: Column that names the split of each row. One of no split need not have a file, as in a
            table that serves several folders of pictures.
    """
    files, read, state = files_of(path)
    table = read_table(_label_file(path, labels), on_error)
    column = table.column(image_column or _image_column(table), "image_column=")
    files_by_name = by_any_name(files)
    found = [files_by_name.get(name) for name in words(column)]
    rows, names, skipped = [], [], list(table.skipped)
    outside = _of_no_split(table, split_column)
    for row, name in enumerate(found):
        if name is not None:
            rows.append(row)
            names.append(name)
        elif row not in outside:
            _absent(table, row, word(column.values[row]), path, files_by_name, on_error)
            skipped.append(table.row_name(row))
    unlisted = len(set(files) - set(names))
    notes = [f"{unlisted} pictures have no row in {table.name} and are not used"] if unlisted else []
    kept = table.take(np.array(rows, np.int64))
    pictures = Pictures(names, read, state, folder=path)
    name = f"{table.name} ({path.name})"
    return dataclasses.replace(
        kept, name=name, pictures=pictures, default_inputs=(PICTURE,), skipped=skipped, notes=notes
    )


def _of_no_split(table: Rows, split_column: str | None) -> set[int]:
    if split_column is None or split_column not in table.columns:
        return set()
    return {row for row, name in enumerate(words(table.columns[split_column])) if not name}


def _absent(
    table: Rows, row: int, name: str, path: Path, files_by_name: Iterable[str], on_error: str
) -> None:
    if on_error != "skip":
        raise ValueError(
            f"None or several images in {path.name} are called '{name}', as in {table.row_name(row)}."
            f"{near_match(name, files_by_name)} Pass on_error='skip' to leave such rows out."
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


def files_of(path: Path) -> _Files:
    """Returns the names of the picture files in a folder or zip file, what reads one, and their state."""
    return _zip_files(path) if path.is_file() else _folder_files(path)


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


def by_any_name(files: Sequence[str]) -> dict[str, str]:
    """Maps each way to write a file's name to it: with or without folder and ending.

    The longer way wins; a way that fits several files equally fits none.
    """
    files_by_name: dict[str, str] = {}
    for way in (str, lambda p: str(p.with_suffix("")), lambda p: p.name, lambda p: p.stem):
        aliases = [way(PurePosixPath(name)) for name in files]
        count = Counter(aliases)
        for alias, name in zip(aliases, files, strict=True):
            if count[alias] == 1:
                files_by_name.setdefault(alias, name)
    return files_by_name


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
