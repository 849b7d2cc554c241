"""Keeping the files of a run up to date while it trains."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._files import put_in_place


class Clock:
    """Measures the seconds of a run, also over several processes."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._start


class KeepRun(keras.callbacks.Callback):
    """Keeps the files of a run up to date after each epoch, each of them whole.

    Args:
        run: The run's folder.
        part: Where a checkpoint of the best epoch is written before it becomes the run's.
        clock: Measures the time that the run takes.
    """

    def __init__(self, run: RunFolder, part: Path, clock: Clock) -> None:
        super().__init__()
        self._run, self._part, self._clock = run, part, clock
        # Public, as what a callback remembers is part of the run's state.
        self.history: dict[str, list[float]] = {}
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs, done = logs or {}, max(map(len, self.history.values()), default=0)
        for name in {**self.history, **logs}:  # Phases may log different things.
            values = self.history.setdefault(name, [float("nan")] * done)
            values.append(float(logs.get(name, "nan")))
        if self._part.exists():
            self.best_epoch = epoch + 1
            put_in_place(self._part, self._run.model_file)
        self._run.write_json("history.json", self.history)
        rows = [["epoch", *self.history], *zip(itertools.count(1), *self.history.values(), strict=False)]
        self._run.write_text("history.csv", "".join(f"{','.join(map(str, row))}\n" for row in rows))
        self._run.write_config(
            epochs_done=epoch + 1, best_epoch=self.best_epoch, seconds=self._clock.seconds()
        )
