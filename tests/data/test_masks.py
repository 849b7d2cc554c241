"""Masks as labels: of files in every form and of arrays; resized, kept, moved with their pictures."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mtlkeras.data import Label, augment, describe, load, move_together, to_arrays

SIZE = (6, 4)
MASKS = np.random.default_rng(0).integers(0, 3, (3, *SIZE)).astype("uint8")
COLOURS = {"ground": (10, 20, 30), "leaf": (0, 200, 0), "rust": (200, 100, 0)}
LABEL = Label("mask", kind="mask", classes=("ground", "leaf", "rust"))


def image(array, palette=False):
    picture = Image.fromarray(array)
    if palette:
        picture = Image.frombytes("P", array.shape[::-1], array.tobytes())
        picture.putpalette([value for colour in COLOURS.values() for value in colour])
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def coloured(mask):
    return np.array(list(COLOURS.values()), "uint8")[mask]


@pytest.fixture
def folder(tmp_path):
    """Three pictures, whose first channel is their number and second their mask; the last has none."""
    folder = tmp_path / "leaves"
    for name in ("images", "index", "palette", "colour", "one", "two"):
        (folder / name).mkdir(parents=True)
    for i, mask in enumerate(MASKS):
        pixels = np.stack([np.full(SIZE, i, "uint8"), mask, mask], -1)
        (folder / "images" / f"p{i}.png").write_bytes(image(pixels))
        if i < 2:
            (folder / "index" / f"m{i}.png").write_bytes(image(mask))
            (folder / "palette" / f"m{i}.png").write_bytes(image(mask, palette=True))
            (folder / "colour" / f"m{i}.png").write_bytes(image(coloured(mask)))
            (folder / "one" / f"m{i}.png").write_bytes(image((mask == 1).astype("uint8") * 255))
            (folder / "two" / f"m{i}.png").write_bytes(image(mask == 2))
    (folder / "labels.csv").write_text(
        "image,mask,one,two\nimages/p0.png,m0,one/m0,two/m0\nimages/p1.png,m1.png,one/m1,\nimages/p2.png,,,\n"
    )
    return folder


def read(folder, label, **arguments):
    x, y = to_arrays(load(folder, {"mask": label}, **arguments))
    np.testing.assert_array_equal(x[:, 0, 0, 0], np.arange(len(x)))
    assert y["mask"].dtype == "int32"
    return x, y["mask"]


@pytest.mark.parametrize("cache", [False, True, "folder"])
@pytest.mark.parametrize(
    "label",
    [
        LABEL.replace(files="index"),
        LABEL.replace(files="palette", classes={"ground": 0, "leaf": [1], "rust": 2}),
        LABEL.replace(files="palette", classes=COLOURS),
        LABEL.replace(files="colour", classes=COLOURS),
    ],
    ids=["index", "palette", "palette_colours", "colours"],
)
def test_masks_of_files(folder, label, cache, tmp_path):
    for _ in range(2 if cache == "folder" else 1):
        _, masks = read(folder, label, cache=tmp_path / "cache" if cache == "folder" else cache, batch_size=2)
        np.testing.assert_array_equal(masks[:2], MASKS[:2])
        assert (masks[2] == -1).all()
    report = describe(load(folder, {"mask": label})).tasks["mask"]
    assert (report.kind, report.classes, report.labelled, report.missing) == ("mask", tuple(COLOURS), 2, 1)


def test_one_file_a_class_gives_masks_that_may_overlap(folder):
    _, masks = read(folder, Label(["one", "two"], kind="mask"))
    np.testing.assert_array_equal(masks[0], np.stack([MASKS[0] == 1, MASKS[0] == 2], -1))
    np.testing.assert_array_equal(masks[1, ..., 0], MASKS[1] == 1)
    assert (masks[1, ..., 1] == -1).all() and (masks[2] == -1).all()


def test_zip_beside_the_pictures_and_values_that_are_missing_or_merged(folder):
    with zipfile.ZipFile(folder.parent / "masks.zip", "w") as archive:
        for i in range(2):
            archive.write(folder / "index" / f"m{i}.png", f"m{i}.png")
    label = LABEL.replace(files="masks.zip", classes={"ground": 0, "plant": [1]}, missing=[2])
    _, masks = read(folder, label)
    np.testing.assert_array_equal(masks[:2], np.where(MASKS[:2] == 2, -1, MASKS[:2].astype(int)))
    label = LABEL.replace(files="masks.zip", classes=("ground", "leaf"), unseen="missing")
    np.testing.assert_array_equal(read(folder, label)[1], masks)


@pytest.mark.parametrize("cache", [False, True])
def test_resizing_takes_the_nearest_pixel(folder, cache):
    x, masks = read(folder, LABEL.replace(files="index"), image_size=(3, 2), cache=cache)
    assert x.shape == (3, 3, 2, 3)
    np.testing.assert_array_equal(masks[:2], MASKS[:2, 1::2, 1::2])
    _, masks = read(folder, LABEL.replace(files="index"), image_size=(12, 8))
    np.testing.assert_array_equal(masks[0], MASKS[0].repeat(2, 0).repeat(2, 1))


def test_masks_of_arrays():
    pictures = np.zeros((3, *SIZE, 3), "uint8")
    cases = [
        (MASKS, LABEL, MASKS),
        (MASKS[..., None], LABEL, MASKS),
        (MASKS * 100, LABEL.replace(classes={"ground": 0, "leaf": 100, "rust": 200}), MASKS),
        (coloured(MASKS), LABEL.replace(classes=COLOURS), MASKS),
        (np.eye(3, dtype=bool)[MASKS], LABEL, np.eye(3)[MASKS]),
        (np.where(MASKS == 2, -1, MASKS.astype(int)), LABEL, np.where(MASKS == 2, -1, MASKS.astype(int))),
    ]
    for given, label, wanted in cases:
        _, y = to_arrays(load({"image": pictures, "mask": given}, {"mask": label}, "image"))
        np.testing.assert_array_equal(y["mask"], wanted)
    small = load({"image": pictures, "mask": MASKS}, {"mask": LABEL}, "image", image_size=(3, 2))
    np.testing.assert_array_equal(to_arrays(small)[1]["mask"], MASKS[:, 1::2, 1::2])


def shift(x, seed):
    """One pixel to the right, the first column zero; the upper half of the batch mirrored as well."""
    moved = tf.pad(x, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, :-1]
    drawn = tf.random.stateless_uniform((tf.shape(x)[0], 1, 1, 1), [seed, 0]) < 0.5
    return tf.where(drawn, tf.reverse(moved, [2]), moved)


def test_pictures_and_masks_move_together():
    pictures = np.stack([MASKS, MASKS, MASKS], -1) + np.uint8(1)
    depth = np.where(MASKS == 1, np.nan, MASKS.astype("float32"))
    source = {"image": pictures, "mask": MASKS, "depth": depth, "kind": np.arange(3)}
    tasks = {"mask": LABEL, "depth": Label("depth", kind="array"), "kind": "kind"}
    dataset = augment(load(source, tasks, "image"), move_together(shift, ["mask", "depth"]), seed=3)
    x, y = to_arrays(dataset)
    assert x.dtype == "uint8" and y["mask"].dtype == "int32" and y["kind"].tolist() == [0, 1, 2]
    # What came in is black in the pictures and missing in the masks.
    np.testing.assert_array_equal(x[..., 0].astype(int) - 1, y["mask"])
    assert all((row[:, 0] == 0).all() != (row[:, -1] == 0).all() for row in x[..., 0])
    known = (y["mask"] == 0) | (y["mask"] == 2)
    np.testing.assert_array_equal(y["depth"][known], y["mask"][known])
    assert np.isnan(y["depth"][~known]).all()
    with pytest.raises(
        ValueError, match="Unknown task 'msk' in masks= of move_together. Did you mean 'mask'"
    ):
        augment(load(source, tasks, "image"), move_together(shift, ["msk"]))


def change(folder, name, mask):
    (folder / "index" / name).write_bytes(image(mask))


def mistake(folder, label, message, error=ValueError, **arguments):
    for cache in (False, True):
        with pytest.raises((error, tf.errors.InvalidArgumentError), match=message):
            list(load(folder, {"mask": label}, cache=cache, **arguments))


def test_files_that_do_not_fit_are_named(folder):
    label = LABEL.replace(files="index")
    change(folder, "m1.png", np.zeros((5, 4), "uint8"))
    mistake(folder, label, "mask 'm1.png' has 5 x 4 pixels, and its picture 'images/p1.png' 6 x 4")
    wrong = MASKS[1].copy()
    wrong[2, :3] = 7
    change(folder, "m1.png", wrong)
    mistake(folder, label, r"'m1.png' has the value 7 in 3 pixels, .* \(0, 1, 2\)")
    (folder / "colour" / "m1.png").write_bytes(image(np.full((*SIZE, 3), (1, 2, 3), "uint8")))
    colours = LABEL.replace(files="colour", classes=COLOURS)
    mistake(folder, colours, r"'m1.png' has the colour \(1, 2, 3\) in 24 pixels, .*\(0, 200, 0\)")
    mistake(folder, label.replace(files="colour"), r"'m0.png': It is in colours; give classes=")
    (folder / "index" / "m1.png").write_bytes(b"no picture")
    mistake(folder, label, "cannot decode mask 'm1.png': Unknown image file format")
    (folder / "index" / "m1.png").unlink()
    mistake(folder, label, r"are called 'm1.png', as in row 2 of labels.csv .*Did you mean")
    missing = label.replace(unseen="missing")
    assert (to_arrays(load(folder, {"mask": missing}))[1]["mask"][1:] == -1).all()
    mistake(
        folder, label.replace(files="maskes"), "no folder or .zip of masks files='maskes'", FileNotFoundError
    )


def test_labels_and_arrays_that_do_not_fit():
    source = {"image": np.zeros((3, *SIZE, 3), "uint8"), "mask": MASKS}
    cases = [
        (
            LABEL.replace(classes=("ground", "leaf")),
            r"mask in row 1 of the arrays has the value 2 in \d+ pixels",
        ),
        (LABEL.replace(classes=None), "a mask needs Label"),
        (LABEL.replace(classes={"a": 0, "b": (1, 2, 3)}), "all of one kind"),
        (LABEL.replace(classes=COLOURS), "its classes are colours, and its masks have shape"),
    ]
    for label, message in cases:
        with pytest.raises(ValueError, match=message):
            load(source, {"mask": label}, "image")
    with pytest.raises(
        ValueError, match="Task 'mask': its masks have 5 x 4 pixels, the pictures 'image' 6 x 4"
    ):
        load({**source, "mask": MASKS[:, 1:]}, {"mask": LABEL}, "image")
    with pytest.raises(ValueError, match="files=.* is for kind='mask'"):
        Label("mask", files="masks")
