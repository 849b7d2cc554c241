"""What TensorBoard shows of a run while it trains: Keras' scalars, and pictures as in the page."""

from __future__ import annotations

import importlib.util
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.evidence.samples import some_examples
from mtlkeras._app.report.evidence.validation import evidence_so_far
from mtlkeras._app.report.html.live import live_pictures
from mtlkeras._app.runs.keep import KeepRun

_MOST_EXAMPLES, _MOST_VALUES = 500, 10_000_000
_PAUSE = 20  # Times as long as a look takes, so that looks take a twentieth of the time.
_FIRST_GUESS = 1.0  # Seconds that the first look is taken for.


class Pictures:
    """Pictures of a run that trains, written into the log folder of TensorBoard.

    What fails is told once, and the training goes on.

    Args:
        folder: The log folder; the pictures are in `pictures` below it.
        keep: Has the values per epoch so far, and which epoch is the best.
        data: Batches of the validation split, read once; `None` for pictures of the logs only.
        every: Epochs between two looks; `None` for as many as take a twentieth of the time.
        say: Takes a line of text for the user.
        clock: Returns seconds.
    """

    def __init__(
        self,
        folder: Path,
        keep: KeepRun,
        data: Any,
        every: int | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = _PictureLog(folder / "pictures")
        self._keep, self._data, self._every, self._say = keep, data, every, say
        self._clock = clock
        self._next = clock() + _PAUSE * _FIRST_GUESS
        self._drawn: int | None = None
        self._attempt = Attempts()
        self._told: set[str] = set()
        self._sample: Any = None

    def after_epoch(self, model: Any, epoch: int) -> None:
        """Draws if it is the epoch's turn.

        Args:
            model: The model.
            epoch: Which epoch, from 0; the step in the log, as of the scalars.
        """
        if (self._clock() >= self._next) if self._every is None else (epoch + 1) % self._every == 0:
            self.at_the_end(model, epoch)

    def at_the_end(self, model: Any, epoch: int) -> None:
        """Draws after the last epoch of a fit, if that was not done."""
        if epoch == self._drawn:
            return
        self._drawn, began = epoch, self._clock()
        self._attempt("pictures", self._draw, model, epoch)
        self._next = self._clock() + _PAUSE * (self._clock() - began)
        self._tell()

    def _draw(self, model: Any, epoch: int) -> None:
        if not _has_matplotlib():
            raise ImportError("they need matplotlib: pip install 'mtlkeras[plots]'")
        if self._sample is None and self._data is not None:
            data, self._data = self._data, None  # What cannot be read once is not tried again.
            self._sample = self._attempt(
                "the validation split", some_examples, model, data, _MOST_EXAMPLES, _MOST_VALUES
            )
        keep = self._keep
        found = evidence_so_far(model, keep.history, keep.best_epoch, self._sample, self._attempt)
        self._log.write(epoch, live_pictures(found, self._attempt))

    def _tell(self) -> None:
        for line in self._attempt.failures:
            if line not in self._told:
                self._told.add(line)
                self._say(f"note: not in TensorBoard: {line}")
        self._attempt.failures.clear()


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


class Board(keras.callbacks.TensorBoard):
    """Keras' `TensorBoard` with pictures.

    Args:
        folder: The log folder.
        pictures: The pictures, if there are to be any.
    """

    def __init__(self, folder: Path, pictures: Pictures | None = None) -> None:
        super().__init__(str(folder), write_graph=False)
        self._pictures = pictures
        self._epoch: int | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._epoch = epoch
        if self._pictures is not None:
            self._pictures.after_epoch(self.model, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        if self._pictures is not None and self._epoch is not None:
            self._pictures.at_the_end(self.model, self._epoch)


class _PictureLog:
    """An event file of pictures, as TensorBoard reads it; one of its own for each process."""

    def __init__(self, folder: Path) -> None:
        # Files of a folder are read in the order of their names.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.pictures"
        self._file = folder / name

    def write(self, step: int, pictures: Iterable[tuple[str, bytes]]) -> None:
        """Writes pictures, PNG files by name, of a step."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._file.exists()
        with self._file.open("ab") as file:
            records = RecordWriter(file)
            if is_new:
                records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            for name, png in pictures:
                width, height = struct.unpack(">II", png[16:24])
                image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
                summary = Summary(value=[Summary.Value(tag=name, image=image)])
                records.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())
