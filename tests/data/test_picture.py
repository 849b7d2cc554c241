"""One picture from each kind of file, against Pillow, and the same for `load` and `predict --input`."""

from __future__ import annotations

import io
import json
import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mtlkeras._app.runs.inputs import read_inputs
from mtlkeras.data import load, read_pictures, to_arrays
from mtlkeras.data.picture import decode_picture, fit_array, read_picture

HEIGHT, WIDTH = 9, 13
RNG = np.random.default_rng(0)
RGBA = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
GREY16 = RNG.integers(0, 2**16, (HEIGHT, WIDTH)).astype(np.uint16)
COLOUR16 = RNG.integers(0, 2**16, (HEIGHT, WIDTH, 3)).astype(np.uint16)


def file(image, kind, orientation=None, **options):
    """The bytes of a Pillow image as a file of a kind."""
    stream = io.BytesIO()
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(stream, kind, **options)
    return stream.getvalue()


def _files():
    rgba = Image.fromarray(RGBA)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    palette = rgb.quantize(16)
    files = {
        "grey.png": file(grey, "PNG"),
        "colour.png": file(rgb, "PNG"),
        "alpha.png": file(rgba, "PNG"),
        "grey_alpha.png": file(rgba.convert("LA"), "PNG"),
        "palette.png": file(palette, "PNG"),
        "clear_palette.png": file(palette, "PNG", transparency=3),
        "clear_colour.png": file(rgb, "PNG", transparency=tuple(RGBA[0, 0, :3].tolist())),
        "black_white.png": file(grey.convert("1"), "PNG"),
        "grey16.png": file(Image.fromarray(GREY16), "PNG"),
        "colour16.png": tf.io.encode_png(COLOUR16).numpy(),
        "grey.jpg": file(grey, "JPEG"),
        "colour.jpg": file(rgb, "JPEG"),
        "print.jpg": file(rgb.convert("CMYK"), "JPEG"),
        "grey.bmp": file(grey, "BMP"),
        "colour.bmp": file(rgb, "BMP"),
        "palette.bmp": file(palette, "BMP"),
        "black_white.bmp": file(grey.convert("1"), "BMP"),
        "palette.gif": file(palette, "GIF"),
        "grey.gif": file(grey, "GIF"),
        "moving.gif": file(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "colour.webp": file(rgb, "WEBP", lossless=True),
        "alpha.webp": file(rgba, "WEBP", lossless=True, exact=True),
        "lossy.webp": file(rgb, "WEBP"),
    }
    for orientation in range(1, 9):
        files[f"turned{orientation}.jpg"] = file(rgb, "JPEG", orientation)
    files["turned.png"] = file(rgb, "PNG", 6)
    files["turned.webp"] = file(rgb, "WEBP", 8, lossless=True)
    return files


FILES = _files()
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def natural(name):
    """The mode that a file has of itself."""
    if name.startswith(("alpha", "grey_alpha", "clear_palette")):
        return "RGBA"
    return "L" if name.startswith(("grey", "black")) and not name.endswith("gif") else "RGB"


def reference(name, mode, size=None):
    """What Pillow makes of a file."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(FILES[name])))
    if name == "grey16.png":
        image = Image.fromarray((GREY16 >> 8).astype(np.uint8))
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert(mode) if mode == "RGBA" else image.convert("RGB").convert(mode)
    if size is not None:
        # Each channel for itself: Pillow mixes colours by their alpha.
        bands = [band.resize(size[::-1], Image.Resampling.BILINEAR) for band in image.split()]
        image = Image.merge(mode, bands)
    array = np.asarray(image).astype(int)
    return array if array.ndim == 3 else array[..., None]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_what_pillow_says(name):
    plain = decode_picture(FILES[name])
    assert plain.dtype == np.uint8 and plain.shape[-1] == CHANNELS[natural(name)]
    np.testing.assert_array_equal(plain, reference(name, natural(name)))
    for mode, channels in CHANNELS.items():
        got = read_picture(FILES[name], None, channels)
        # Weights of grey are rounded in another place.
        np.testing.assert_allclose(
            got.astype(int)[..., :3], reference(name, mode)[..., :3], atol=mode == "L", err_msg=mode
        )
        if mode == "RGBA" and not name.startswith("clear_colour"):
            np.testing.assert_array_equal(got[..., 3], reference(name, mode)[..., 3])


@pytest.mark.parametrize("size", [(4, 5), (20, 30), (9, 5)])
def test_resizing_is_pillow_s_bilinear_up_to_rounding(size):
    for name in ("grey.png", "colour.jpg", "alpha.png", "turned6.jpg", "grey16.png"):
        got = read_picture(FILES[name], size).astype(int)
        np.testing.assert_allclose(got, reference(name, natural(name), size), atol=1, err_msg=name)


def test_bit_depths():
    np.testing.assert_array_equal(decode_picture(FILES["grey16.png"])[..., 0], GREY16 >> 8)
    np.testing.assert_array_equal(decode_picture(FILES["colour16.png"]), COLOUR16 >> 8)
    assert set(np.unique(decode_picture(FILES["black_white.png"]))) == {0, 255}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    rows = "\n".join(f"{name},{i % 2}" for i, name in enumerate(FILES))
    (folder / "labels.csv").write_text(f"image,y\n{rows}\n")
    return folder


@pytest.mark.parametrize(("channels", "cache"), [(1, True), (3, False), (4, True)])
def test_load_and_predict_see_the_same_pixels(folder, channels, cache):
    size = (6, 7)
    x, _ = to_arrays(load(folder, {"y": "y"}, image_size=size, channels=channels, cache=cache))
    paths = [folder / name for name in FILES]
    model = types.SimpleNamespace(input=keras.Input((*size, channels), dtype="uint8"))
    np.testing.assert_array_equal(x, read_inputs(paths, model))
    np.testing.assert_array_equal(x, read_pictures(paths, size, channels))


def test_a_zip_holds_the_same_pixels(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in FILES:
            archive.write(folder / name, name)
    labels = folder / "labels.csv"
    x, _ = to_arrays(load(tmp_path / "all.zip", {"y": "y"}, image_size=6, channels=3, labels=labels))
    np.testing.assert_array_equal(x, read_pictures([folder / n for n in FILES], 6, 3))


def test_arrays_are_resized_as_files_are():
    pictures = np.stack([RGBA[..., :3], RGBA[::-1, ..., :3]])
    x, _ = to_arrays(load((pictures, np.arange(2)), {"t": "y"}, image_size=(5, 6), channels=1))
    one = [read_picture(file(Image.fromarray(p), "PNG"), (5, 6), 1) for p in pictures]
    np.testing.assert_array_equal(x, one)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Input is empty"),
        (b"no picture", "Unknown image file format; expected one of JPEG, PNG"),
        (FILES["colour.png"][:-30], "."),
        (FILES["colour.jpg"][:-90], "truncated"),
        (FILES["colour.webp"][:-90], "."),
        (FILES["palette.gif"][:40], "."),
        (FILES["colour.bmp"][:60], "."),
        (file(Image.new("L", (3, 3)), "TIFF"), "Unknown image file format"),
    ],
)
def test_damaged_files_are_named(data, reason, tmp_path):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(ValueError, match=f"Cannot decode image '.*bad.png': .*{reason}"):
        read_pictures(tmp_path / "bad.png")
    with pytest.raises(ValueError, match=reason):
        decode_picture(data)


def test_bad_arguments_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png"):
        read_pictures(tmp_path / "none.png")
    with pytest.raises(ValueError, match="at least one"):
        read_pictures([])
    with pytest.raises(ValueError, match="channels= must be 1, 3 or 4"):
        read_pictures(folder / "grey.png", channels=2)
    with pytest.raises(ValueError, match="turned6.jpg' has 13 x 9 pixels where the first one has 9 x 13"):
        read_pictures([folder / "colour.jpg", folder / "turned6.jpg"])
    with pytest.raises(ValueError, match="2 channels"):
        fit_array(np.zeros((2, 2, 2), np.uint8), None, 3)


def test_channels_are_those_of_the_first_one(folder):
    assert read_pictures([folder / "colour.jpg", folder / "grey.png"]).shape == (2, HEIGHT, WIDTH, 3)
    assert read_pictures([folder / "grey.png", folder / "colour.jpg"]).shape == (2, HEIGHT, WIDTH, 1)


def test_a_picture_listed_twice_with_other_labels_is_noted(folder, tmp_path):
    from mtlkeras.data import describe

    rows = {"a": {"image": "grey.png", "y": 0}, "b": {"image": "grey.png", "y": 1}}
    (tmp_path / "twice.json").write_text(json.dumps(list(rows.values())))
    report = describe(load(folder, {"y": "y"}, labels=tmp_path / "twice.json"))
    assert any("2 examples have the inputs of another and a different label" in n for n in report.notes)
