"""The picture files of a source."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras.data.picture import read_picture


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The picture files of some rows, read and decoded one at a time.

    Args:
        names: File name of each row's picture.
        read: Gives the bytes of a file.
        state: Gives what tells that the files are no longer the same.
        size: `(height, width)` that each picture is brought to, or `None` for the size of
            the first one, which all others must then have.
        channels: 1, 3 or 4, or `None` for those of the first one.
        folder: The folder or zip file that they lie in.
    """

    names: Sequence[str]
    read: Callable[[str], bytes]
    state: Callable[[], Any]
    size: tuple[int, int] | None = None
    channels: int | None = None
    folder: Path | None = None

    def take(self, rows: np.ndarray) -> Pictures:
        """Returns the pictures of some rows."""
        return dataclasses.replace(self, names=[self.names[row] for row in rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of all pictures of a settled set."""
        if self.size is None or self.channels is None:
            raise ValueError("The size of these pictures is not known yet.")
        return (*self.size, self.channels)

    def decode(self, row: int) -> np.ndarray:
        """Returns a picture as `uint8` of shape `(height, width, channels)`.

        Raises:
            ValueError: If it cannot be decoded; the message names the file.
        """
        name = self.names[row]
        try:
            return read_picture(self.read(name), self.size, self.channels)
        except (ValueError, zipfile.BadZipFile, zlib.error, OSError) as error:
            reason = f"Cannot decode image '{name}': {str(error).rstrip('.')}."
            raise ValueError(f"{reason} Pass on_error='skip' to leave such pictures out.") from error

    def settled(self) -> Pictures:
        """Returns the same with size and channels known, from the first picture that decodes."""
        if self.size is not None and self.channels is not None:
            return self
        error: ValueError | None = None
        for row in range(len(self.names)):
            try:
                height, width, channels = self.decode(row).shape
            except ValueError as failure:
                error = error or failure
                continue
            return dataclasses.replace(
                self, size=self.size or (height, width), channels=self.channels or channels
            )
        raise error or ValueError("There are no pictures to load.")

    def checked(self, row: int, resized: bool) -> np.ndarray:
        """Decodes a picture of a settled set; without resizing its size must be the common one."""
        if resized:
            return self.decode(row)
        picture = dataclasses.replace(self, size=None).decode(row)
        if picture.shape[:2] != self.shape[:2]:
            own, first = (f"{height} x {width}" for height, width in (picture.shape[:2], self.shape[:2]))
            raise ValueError(
                f"Image '{self.names[row]}' has {own} pixels where the first one has {first}. "
                "Pass image_size=(height, width) to bring all to one size."
            )
        return picture
