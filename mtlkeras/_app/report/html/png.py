"""Small pictures of inputs as data that a page can hold."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_MOST_SIDE = 128


def data_uri(picture: np.ndarray) -> str:
    """Returns a picture as a PNG in a data URI, a large one with fewer pixels.

    Args:
        picture: Grey or RGB of any type, `(height, width, channels)`; scaled from its least value to its
            largest, or if it is uint8 as it is.
    """
    picture = picture[..., :1] if picture.shape[-1] < 3 else picture[..., :3]
    step = max(1, -(-max(picture.shape[:2]) // _MOST_SIDE))
    picture = picture[::step, ::step]
    if picture.dtype != np.uint8:
        values = np.nan_to_num(picture.astype("float64"))
        low, high = values.min(), values.max()
        picture = np.round(255 * (values - low) / max(high - low, 1e-12)).astype("uint8")
    return "data:image/png;base64," + base64.b64encode(_png(picture)).decode("ascii")


def _png(picture: np.ndarray) -> bytes:
    height, width, channels = picture.shape
    rows = picture.reshape(height, width * channels)
    filtered = np.concatenate([np.zeros((height, 1), "uint8"), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
