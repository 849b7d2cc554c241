"""Files that are there whole or not at all, and arrays in them."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a path to write to; the file there takes the place of `path` when all went well."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as file:
            # Renamed before its content reached the disk, a file can be empty after a power cut.
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
