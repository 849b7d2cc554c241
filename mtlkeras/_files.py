"""Files that are there whole or not at all, and arrays in them."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def part_of(path: Path) -> Path:
    """Returns where a file is written until it is whole: beside it, hidden, with the same ending."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


@contextlib.contextmanager
def written_aside(path: Path, part: Path | None = None) -> Iterator[Path]:
    """Gives a path to write to; the file there takes the place of `path` when all went well.

    Args:
        path: The file.
        part: Where it is written, on the same disk; `None` for `part_of(path)`. Processes that may write
            one file at the same time need one each.
    """
    part = part_of(path) if part is None else part
    try:
        yield part
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def put_in_place(part: Path, path: Path) -> None:
    """Has a file that was written aside take the place of `path`, in one step."""
    with part.open("rb") as file:
        # Renamed before its content reached the disk, a file can be empty after a power cut.
        os.fsync(file.fileno())
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step."""
    with written_aside(path) as part:
        part.write_text(text, encoding="utf-8")


def save_arrays(file: Any, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name for `numpy.load`, as `numpy.savez(allow_pickle=False)` does from NumPy 2.1 on.

    Args:
        file: A binary file, open for writing.
        arrays: NumPy arrays by name.

    Raises:
        ValueError: If one holds Python objects.
    """
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
