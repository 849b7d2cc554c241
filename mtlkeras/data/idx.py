"""The IDX files of MNIST and its relatives, read from disk without network."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np

from mtlkeras._types import PathLike
from mtlkeras.data._columns import Column, from_array
from mtlkeras.data._rows import PICTURE, Rows

_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_SPLITS = {"train": "train", "test": "t10k"}
_DIGITS = tuple("0123456789")
_CLASS_NAMES = {
    "mnist": _DIGITS,
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an IDX file, plain or gzipped.

    Args:
        path: The file; a name that ends in `.gz` is unpacked while reading.

    Returns:
        An array of the shape and type that the file's header states, such as `uint8` of
        shape `(60000, 28, 28)`.

    Raises:
        ValueError: If the file is not IDX, or shorter or longer than its header says.

    Example:

    ```python
    header = bytes([0, 0, 8, 1]) + (3).to_bytes(4, "big")  # unsigned bytes, one axis of length 3
    with open("labels-idx1-ubyte", "wb") as file:
        file.write(header + bytes([7, 2, 1]))
    mtlkeras.data.read_idx("labels-idx1-ubyte")  # array([7, 2, 1], dtype=uint8)
    ```

    Reference: the format is described with the MNIST data set (LeCun, Cortes, Burges, 1998).
    """
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"Cannot read {path.name}: {error}.") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES:
        raise ValueError(f"{path.name} is not an IDX file.")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, 4) if len(data) >= 4 + 4 * rank else np.array([-1])
    dtype = np.dtype(_DTYPES[data[2]])
    expected = 4 + 4 * rank + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(f"{path.name} has {len(data)} bytes where its header says {expected}.")
    array = np.frombuffer(data, dtype, offset=4 + 4 * rank).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def find_idx(name: str, data_dir: PathLike | None = None) -> dict[str, tuple[Path, Path]]:
    """Looks for the IDX files of a data set on disk.

    Args:
        name: The data set's TFDS name: `"mnist"`, `"fashion_mnist"` or `"kmnist"`.
        data_dir: A folder to look in first, itself and its folder of that name. Then come
            the folder in the environment variable `MTLKERAS_DATA`, and `datasets/` in the
            system's share folders (`XDG_DATA_DIRS`).

    Returns:
        The paths of images and labels for each split that is there; empty if none is.
    """
    bare = name.split(":")[0].split("/")[0]
    for folder in _folders(bare, data_dir) if bare in _CLASS_NAMES else ():
        found = idx_folder(folder)
        if found:
            return found
    return {}


def _folders(name: str, data_dir: PathLike | None) -> list[Path]:
    own = [Path(p) for p in (data_dir, os.environ.get("MTLKERAS_DATA")) if p]
    system = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    roots = [*own, *(Path(p) / "datasets" for p in system.split(os.pathsep) if p)]
    spellings = dict.fromkeys([name, name.replace("_", "-")])
    # A folder given by the caller may hold the files itself, unless its name says another set.
    direct = [
        Path(p) for p in (data_dir,) if p and Path(p).name.replace("-", "_") not in set(_CLASS_NAMES) - {name}
    ]
    return [*direct, *(root / spelling for root in roots for spelling in spellings)]


def idx_folder(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Returns the paths of images and labels by split in one folder."""
    found = {}
    for split, prefix in _SPLITS.items():
        for ending in ("", ".gz"):
            pair = (
                folder / f"{prefix}-images-idx3-ubyte{ending}",
                folder / f"{prefix}-labels-idx1-ubyte{ending}",
            )
            if split not in found and all(path.is_file() for path in pair):
                found[split] = pair
    return found


def open_idx(name: str, files: dict[str, tuple[Path, Path]]) -> Rows:
    """Reads all splits; features `image` and `label` are those of the data set in TFDS."""
    images, labels, splits = [], [], []
    for split, (image_file, label_file) in files.items():
        images.append(read_idx(image_file)[..., None])
        labels.append(read_idx(label_file))
        if len(images[-1]) != len(labels[-1]):
            raise ValueError(
                f"{image_file.name} has {len(images[-1])} images and {label_file.name} {len(labels[-1])}."
            )
        splits += [split] * len(labels[-1])
    columns: dict[str, Column] = {
        PICTURE: from_array(np.concatenate(images)),
        "label": from_array(np.concatenate(labels).astype(np.int64), _CLASS_NAMES.get(name.split(":")[0])),
        "split": from_array(np.array(splits)),
    }
    return Rows(
        f"{name} (IDX files)", columns, np.arange(1, len(splits) + 1), default_inputs=(PICTURE,), as_is=True
    )
