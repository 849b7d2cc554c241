"""One picture: from the bytes of its file to pixels, the same for training and prediction."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._types import PathLike, Tensor

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
_CHANNELS = {1, 3, 4}
_ORIENTATION = 0x0112  # The tag of EXIF.


def read_picture(data: bytes, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """Decodes a picture and brings it to a size and a number of channels.

    Args:
        data: The bytes of a JPEG, PNG, BMP, GIF or WebP file.
        size: `(height, width)` in pixels; `None` keeps the picture's own.
        channels: 1, 3 or 4; `None` keeps the picture's own.

    Returns:
        `uint8` of shape `(height, width, channels)`.

    Raises:
        ValueError: If it cannot be decoded; the message is the reason alone.
    """
    return fit_array(decode_picture(data), size, channels)


def read_pictures(
    paths: PathLike | Iterable[PathLike],
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> np.ndarray:
    """Reads picture files as `load` does: what a model of uint8 pictures takes.

    The picture is turned as its EXIF orientation says. Of 16 bits the upper 8 are taken, black and
    white is 0 and 255, a palette gives its colours, and of an animation the first picture is taken.
    Transparency is left off unless `channels` is 4. Grey is 0.299 red + 0.587 green + 0.114 blue.
    Resizing is bilinear and antialiased, and does not keep the aspect.

    Args:
        paths: A JPEG, PNG, BMP, GIF or WebP file, or a list of them.
        image_size: `(height, width)` or one number, in pixels, that pictures are resized to; `None`
            keeps their own, which must then be the same for all.
        channels: 1, 3 or 4, that they are converted to; `None` takes those of the first one.

    Returns:
        `uint8` of shape `(pictures, height, width, channels)`.

    Raises:
        ValueError: If a file is no such picture, or sizes differ; the message names the file.
        FileNotFoundError: If a file is not there.

    Example:

    ```python
    keras.utils.save_img("leaf.png", np.zeros((80, 60, 3)))
    mtlkeras.data.read_pictures("leaf.png", image_size=32).shape  # (1, 32, 32, 3)
    ```
    """
    from mtlkeras.data._options import Options

    options = Options(image_size=image_size, channels=channels)
    files = [Path(p) for p in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    if not files:
        raise ValueError("read_pictures needs the path of at least one picture.")
    found: list[np.ndarray] = []
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"No picture {path}.")
        try:
            picture = read_picture(path.read_bytes(), options.image_size, channels)
        except ValueError as error:
            raise ValueError(f"Cannot decode image '{path}': {error}") from error
        channels = channels or picture.shape[-1]
        if found and picture.shape[:2] != found[0].shape[:2]:
            own, first = (f"{height} x {width}" for height, width in (picture.shape[:2], found[0].shape[:2]))
            raise ValueError(
                f"Image '{path}' has {own} pixels where the first one has {first}. "
                "Pass image_size=(height, width) to bring all to one size."
            )
        found.append(picture)
    return np.stack(found)


def picture_size(data: bytes) -> tuple[int, int]:
    """Returns height and width of a picture, turned as its EXIF says, without decoding it."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION, 1) > 4  # Those by a quarter.
    return (width, height) if turned else (height, width)


def decode_picture(data: bytes) -> np.ndarray:
    """Decodes a picture to `uint8` of shape `(height, width, 1, 3 or 4)`, turned as its EXIF says.

    Raises:
        ValueError: If it cannot be decoded; the message is the reason alone.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("Reading pictures needs Pillow: pip install pillow.") from error
    if not data:
        raise ValueError("Input is empty.")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.load()
            picture = _plain(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"Unknown image file format; expected one of {', '.join(_FORMATS)}.") from error
    # Pillow has no one kind of error for damaged files; its readers raise what they meet with.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{reason[0].upper()}{reason[1:].rstrip('.')}.") from error
    return picture[..., None] if picture.ndim == 2 else picture


def _plain(image: Any) -> np.ndarray:
    """The pixels of a Pillow image as grey, RGB or RGBA of eight bits."""
    mode, is_gif = image.mode, image.format == "GIF"
    if mode.startswith("I"):
        # Grey of 16 bits. Of colours with 16 bits Pillow itself takes the upper 8.
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    wanted = {"1": "L", "L": "L", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}.get(mode, "RGB")
    if is_gif:
        wanted = "RGB"  # A GIF is a palette, whatever its colours.
    elif mode == "P" and "transparency" in image.info:
        wanted = "RGBA"
    if mode == "P" and wanted == "RGB" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image if mode == wanted else image.convert(wanted))


def fit_array(picture: np.ndarray, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """Brings a picture, or a batch of them, to a size and a number of channels; see `fit_picture`."""
    if channels in (None, picture.shape[-1]) and size in (None, picture.shape[-3:-1]):
        return picture
    import tensorflow as tf

    # The caller may have a GPU; resizing on it would only copy back and forth.
    with tf.device("CPU:0"):
        fit = _fitter(size, picture.shape[-1], channels, picture.dtype.name)
        if picture.ndim == 3:
            return np.asarray(fit(picture[None])[0])
        # In parts, as resizing computes in float32, four times the size of the pictures.
        parts = [np.asarray(fit(picture[i : i + 256])) for i in range(0, len(picture), 256)]
    return np.concatenate(parts)


@functools.lru_cache(maxsize=64)
def _fitter(
    size: tuple[int, int] | None, given: int, channels: int | None, dtype: str
) -> Callable[[Any], Any]:
    import tensorflow as tf

    # One compiled function for each size: eager calls of the single operations cost twice the time.
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, given), dtype)], autograph=False)
    def fit(picture: Any) -> Any:
        return fit_picture(picture, size, channels)

    return fit


def fit_picture(picture: Tensor, size: tuple[int, int] | None, channels: int | None) -> Tensor:
    """Brings a picture tensor, or a batch of them, to a size and a number of channels.

    Resizing is bilinear and antialiased: over a smaller picture, each pixel is a mean over those of the
    larger one that it covers, weighted by a triangle.
    """
    import tensorflow as tf

    picture = tf.convert_to_tensor(picture)
    if channels is not None and channels != picture.shape[-1]:
        picture = _converted(tf, picture, picture.shape[-1], channels)
    if size is not None and tuple(picture.shape[-3:-1]) != tuple(size):
        dtype = picture.dtype
        resized = tf.image.resize(picture, size, antialias=True)
        picture = resized if dtype.is_floating else tf.saturate_cast(tf.round(resized), dtype)
    return picture


def _converted(tf: Any, picture: Tensor, given: int, channels: int) -> Any:
    if not {given, channels} <= _CHANNELS:
        raise ValueError(f"Cannot turn pictures of {given} channels into channels={channels}.")
    opaque = tf.fill(tf.shape(picture[..., :1]), tf.constant(picture.dtype.max, picture.dtype))
    if given == 4:
        picture = picture[..., :3]
    if channels == 1:
        return tf.image.rgb_to_grayscale(picture)
    if given == 1:
        picture = tf.repeat(picture, 3, axis=-1)
    return tf.concat([picture, opaque], -1) if channels == 4 else picture


def is_picture_name(value: object) -> bool:
    """Whether a value is the name of a picture file."""
    return isinstance(value, (str, Path)) and str(value).lower().endswith(IMAGE_SUFFIXES)


def are_picture_names(values: object) -> bool:
    """Whether a value is a list of names of picture files."""
    return isinstance(values, Sequence) and bool(values) and all(map(is_picture_name, values))
