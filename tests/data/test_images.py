"""Pictures in folders and zip files."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from mtlkeras.data import Label, describe, load, to_arrays

from .conftest import LABELS, png

TASKS = {"label": Label("label", missing=["Not sure"]), "kids": "kids"}


@pytest.fixture(params=["folder", "archive"])
def source(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("cache", [False, True, "folder"])
def test_pictures_and_labels(source, cache, tmp_path):
    cache = tmp_path / "cache" if cache == "folder" else cache
    for _ in range(2):
        dataset = load(source, TASKS, cache=cache, batch_size=3)
        x, y = to_arrays(dataset)
        assert x.shape == (4, 6, 4, 3) and x.dtype == np.uint8
        np.testing.assert_array_equal(x[:, 0, 0, 0], [0, 10, 20, 30])
        assert (x[..., 1:] == 7).all()
        assert y["label"].tolist() == [1, -1, 0, 0] and y["kids"].tolist() == [0, 1, 0, -1]
    report = describe(dataset)
    assert report.tasks["label"].classes == ("Hat", "Shirt")
    assert (report.tasks["label"].labelled, report.tasks["label"].missing) == (3, 1)
    assert report.inputs == {"image": ((6, 4, 3), "uint8")}


def test_resizes_and_converts(source):
    dataset = load(source, TASKS, image_size=(3, 5), channels=1)
    assert dataset.element_spec[0].shape.as_list() == [None, 3, 5, 1]
    x, _ = to_arrays(dataset)
    # ITU-R BT.601 weights of red, green and blue.
    np.testing.assert_allclose(x[:, 1, 1, 0], 0.299 * np.array([0, 10, 20, 30]) + 0.701 * 7, atol=1)


def test_shuffled_pictures_keep_their_labels(folder):
    dataset = load(folder, {"number": "number"}, labels=_numbered(folder), shuffle=True, batch_size=1)
    for _ in range(3):
        x, y = to_arrays(dataset)
        np.testing.assert_array_equal(x[:, 0, 0, 0] // 10, y["number"])


def _numbered(folder):
    path = folder / "numbers.json"
    path.write_text(
        json.dumps(
            {"a.png": {"number": 0}, "b": {"number": 1}, "c.png": {"number": 2}, "sub/d": {"number": 3}}
        )
    )
    return path


def test_columns_beside_the_picture(folder):
    x, _ = to_arrays(load(folder, {"label": "label"}, ["image", "kids"], split="test"))
    assert set(x) == {"image", "kids"} and x["kids"].tolist() == [[0]] and x["image"].shape == (1, 6, 4, 3)


def _spoil(source, name, data):
    if source.is_dir():
        (source / name).write_bytes(data)
        return
    with zipfile.ZipFile(source) as old:
        files = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(source, "w") as new:
        for other, content in {**files, name: data}.items():
            new.writestr(other, content)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Input is empty"),
        (b"no picture", "Unknown image file format"),
        (png(3, 60, 60)[:-40], "Image file is truncated"),
    ],
)
def test_corrupt_picture_is_named(source, data, reason):
    _spoil(source, "sub/c.png", data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Cannot decode image 'sub/c.png'"):
        to_arrays(load(source, TASKS, image_size=4))
    with pytest.raises(ValueError, match=f"Cannot decode image 'sub/c.png': {reason}.*on_error='skip'"):
        load(source, TASKS, image_size=4, cache=True)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("bad", ["a.png", "sub/c.png"])
def test_corrupt_picture_is_skipped_with_a_count(source, cache, bad):
    _spoil(source, bad, png(3, 60, 60)[:-40])
    dataset = load(source, TASKS, cache=cache, on_error="skip")
    x, y = to_arrays(dataset)
    left = [i for i, name in enumerate(("a.png", "b.png", "sub/c.png", "sub/d.png")) if name != bad]
    np.testing.assert_array_equal(x[:, 0, 0, 0], 10 * np.array(left))
    assert y["kids"].tolist() == np.array([0, 1, 0, -1])[left].tolist()
    report = describe(dataset)
    assert report.examples == 3 and report.skipped == (bad,)
    assert report.tasks["kids"].labelled + report.tasks["kids"].missing == 3


def test_damaged_zip_member_is_named(archive):
    data = bytearray(archive.read_bytes())
    place = bytes(data).index(b"a.png") + len("a.png") + 40
    data[place] ^= 255
    archive.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="Cannot decode image 'a.png'"):
        load(archive, TASKS, cache=True)


def test_broken_zip_is_named(archive):
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(ValueError, match="pictures.zip"):
        load(archive, TASKS)


def test_other_size_is_named(folder):
    (folder / "b.png").write_bytes(png(10, 5, 5))
    with pytest.raises(tf.errors.InvalidArgumentError, match="'b.png' has 5 x 5 .* has 6 x 4"):
        to_arrays(load(folder, TASKS))
    assert to_arrays(load(folder, TASKS, image_size=8))[0].shape == (4, 8, 8, 3)


def test_absent_picture_is_named_or_skipped(folder):
    os.remove(folder / "b.png")
    with pytest.raises(ValueError, match="called 'b', as in row 2 of labels.csv"):
        load(folder, TASKS)
    report = describe(load(folder, TASKS, on_error="skip"))
    assert report.examples == 3 and "row 2" in report.skipped[0]


def test_a_row_of_no_split_needs_no_picture(folder):
    (folder / "labels.csv").write_text(LABELS + "e,,Hat,1\n")
    report = describe(load(folder, TASKS, split="train"))
    assert (report.examples, report.skipped) == (3, ())
    with pytest.raises(ValueError, match="called 'e', as in row 5 of labels.csv"):
        load(folder, TASKS)


@pytest.mark.filterwarnings("ignore:Task 'label'. 'Hat' has no example in training")
def test_pictures_without_row_are_noted(folder):
    (folder / "labels.csv").write_text(LABELS[: LABELS.index("d,train")])
    assert "1 pictures have no row" in describe(load(folder, TASKS)).notes[0]


def test_ambiguous_name_is_not_guessed(folder):
    (folder / "sub" / "a.png").write_bytes(png(0))
    assert describe(load(folder, TASKS)).examples == 4, "'a' is the one at the top"
    (folder / "sub" / "more").mkdir()
    (folder / "sub" / "more" / "c.png").write_bytes(png(0))
    with pytest.raises(ValueError, match="several images in pictures are called 'c'"):
        load(folder, TASKS)


def test_missing_table_and_column_are_told(folder):
    (folder / "labels.csv").rename(folder / "table.csv")
    with pytest.raises(ValueError, match="labels="):
        load(folder, TASKS)
    with pytest.raises(FileNotFoundError, match="tabel.csv"):
        load(folder, TASKS, labels="tabel.csv")
    assert describe(load(folder, TASKS, labels="table.csv")).examples == 4
    with pytest.raises(ValueError, match="'image'"):
        load(folder, TASKS, labels="table.csv", image_column="imag")
    (folder / "table.csv").write_text("name,label\na,x\n")
    with pytest.raises(ValueError, match="image_column="):
        load(folder, {"label": "label"}, labels="table.csv")


def test_cache_on_disk_follows_its_source(folder, tmp_path):
    cache = tmp_path / "cache"
    load(folder, TASKS, cache=cache)
    (folder / "a.png").write_bytes(png(99, 6, 4))
    x, _ = to_arrays(load(folder, TASKS, cache=cache))
    assert x[0, 0, 0, 0] == 99 and len(list(cache.iterdir())) == 2
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    assert to_arrays(load(folder, TASKS, cache=cache))[0][0, 0, 0, 0] == 99


@pytest.mark.filterwarnings("ignore:Task 'label'. 'Shirt' has no example in training")
def test_fractions_follow_the_name_not_the_place(folder):
    def names():
        dataset = load(folder, TASKS, split="train", fractions={"train": 0.5, "test": 0.5}, shuffle=False)
        return sorted(to_arrays(dataset)[0][:, 0, 0, 0].tolist())

    before = names()
    header, *lines = LABELS.strip().split("\n")
    (folder / "labels.csv").write_text("\n".join([header, *reversed(lines)]))
    assert names() == before
