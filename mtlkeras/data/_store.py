"""Decoded data kept in a file for the next run."""

from __future__ import annotations

import hashlib
import os
import uuid
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._files import save_arrays, written_aside

Arrays = dict[str, np.ndarray]


def kept(cache: Any, identity: Iterable[Any], make: Callable[[], Arrays]) -> Arrays:
    """Returns arrays from the cache, or makes them and keeps them there.

    Args:
        cache: A folder; anything else makes the arrays without keeping them.
        identity: Everything that the arrays depend on; another identity, another file.
        make: Makes the arrays.
    """
    if not isinstance(cache, (str, os.PathLike)):
        return make()
    path = Path(cache) / f"{fingerprint(identity)}.npz"
    found = _read(path)
    if found is None:
        found = make()
        _write(path, found)
    return found


def fingerprint(identity: Iterable[Any]) -> str:
    """A short name for a sequence of plain values."""
    digest = hashlib.blake2b(digest_size=12)
    for part in identity:
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def file_state(path: Path) -> tuple[str, int, int]:
    """Path, size and time of change: what tells that a file is another one now."""
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def _read(path: Path) -> Arrays | None:
    try:
        # Opened here, as np.load leaves a damaged file open.
        with open(path, "rb") as stream, np.load(stream) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        # A damaged cache file is worth no more than none.
        return None


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several runs may fill one cache at the same time, also from several machines.
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    with written_aside(path, part), part.open("wb") as file:
        save_arrays(file, arrays)
