"""IDX files and data sets of them on disk."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from mtlkeras.data import describe, find_idx, load, read_idx, to_arrays

from .conftest import idx_bytes


@pytest.mark.parametrize(
    "code,dtype", [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_reads_every_type(tmp_path, code, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    header = bytes([0, 0, code, 2]) + (3).to_bytes(4, "big") + (4).to_bytes(4, "big")
    path = tmp_path / "a-idx"
    path.write_bytes(header + array.tobytes())
    found = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x00\x08", "not an IDX"),
        (b"hello world", "not an IDX"),
        (idx_bytes(np.arange(6))[:-1], "13 bytes where its header says 14"),
        (idx_bytes(np.arange(6)) + b"x", "15 bytes"),
        (bytes([0, 0, 8, 3, 0, 0]), "6 bytes"),
    ],
)
def test_bad_file_is_named(tmp_path, data, message):
    path = tmp_path / "bad-idx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"bad-idx.*{message}"):
        read_idx(path)


def test_truncated_gzip_is_named(tmp_path):
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.arange(600)))[:-20])
    with pytest.raises(ValueError, match="bad.gz"):
        read_idx(path)


@pytest.mark.parametrize("where", ["data_dir", "itself", "MTLKERAS_DATA", "XDG_DATA_DIRS"])
def test_found_in_every_place(idx_dir, monkeypatch, where):
    monkeypatch.setenv("XDG_DATA_DIRS", "")
    monkeypatch.delenv("MTLKERAS_DATA", raising=False)
    data_dir = {"data_dir": idx_dir, "itself": idx_dir / "fashion-mnist"}.get(where)
    if where == "MTLKERAS_DATA":
        monkeypatch.setenv(where, str(idx_dir))
    if where == "XDG_DATA_DIRS":
        idx_dir.rename(idx_dir.parent / "datasets")
        monkeypatch.setenv(where, f"/nowhere:{idx_dir.parent}")
    assert set(find_idx("fashion_mnist:3.*.*", data_dir)) == {"train", "test"}


def test_another_set_is_not_taken_for_it(idx_dir, monkeypatch):
    monkeypatch.setenv("XDG_DATA_DIRS", str(idx_dir))
    assert find_idx("kmnist", idx_dir / "fashion-mnist") == {}
    assert find_idx("cifar10", idx_dir / "fashion-mnist") == {}


def test_loads_without_network(idx_dir):
    groups = {
        "tops": ["T-shirt/top", "Pullover", "Coat", "Shirt"],
        "rest": ["Trouser", "Dress", "Bag"],
        "shoes": ["Sandal", "Sneaker", "Ankle boot"],
    }
    from mtlkeras.data import Label

    tasks = {"article": "label", "group": Label("label", classes=groups)}
    dataset = load("fashion_mnist", tasks, split="test", data_dir=idx_dir)
    x, y = to_arrays(dataset)
    assert x.shape == (5, 2, 3, 1) and x.dtype == np.uint8
    np.testing.assert_array_equal(x[..., 0], np.arange(30).reshape(5, 2, 3))
    assert y["article"].tolist() == [0, 1, 2, 3, 4] and y["group"].tolist() == [0, 1, 0, 1, 0]
    report = describe(dataset)
    assert report.tasks["article"].classes[9] == "Ankle boot"
    assert describe(load("fashion_mnist", tasks, split="train[:50%]", data_dir=idx_dir)).examples == 10
    assert describe(load(idx_dir / "fashion-mnist", tasks)).examples == 25


def test_pictures_and_labels_must_agree(idx_dir):
    path = idx_dir / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.arange(4))))
    with pytest.raises(ValueError, match="5 images.*4"):
        load("fashion_mnist", {"a": "label"}, data_dir=idx_dir)
