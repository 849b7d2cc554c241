"""Small files of every kind that the tests of data load."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

LABELS = "image,split,label,kids\na,train,Shirt,0\nb,train,Not sure,1\nc,test,Hat,0\nd,train,Hat,\n"


def png(value: int, height: int = 6, width: int = 4) -> bytes:
    """A plain colour picture: red is the value, green and blue are 7."""
    picture = np.full((height, width, 3), 7, np.uint8)
    picture[..., 0] = value
    return tf.io.encode_png(picture).numpy()


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of unsigned bytes as an IDX file."""
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four pictures with a table of labels."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "sub/c.png", "sub/d.png")):
        (folder / name).write_bytes(png(10 * number))
    (folder / "labels.csv").write_text(LABELS)
    return folder


@pytest.fixture
def archive(folder, tmp_path) -> Path:
    """The same pictures in a zip file, with the labels beside it."""
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as file:
        for picture in sorted(folder.rglob("*.png")):
            file.write(picture, picture.relative_to(folder).as_posix())
    (tmp_path / "labels.csv").write_text(LABELS)
    return path


@pytest.fixture
def idx_dir(tmp_path) -> Path:
    """A data folder with 20 training and 5 test pictures in the files of Fashion-MNIST."""
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 20), ("t10k", 5)):
        images = np.arange(count * 6).reshape(count, 2, 3)
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return folder.parent
