"""The worker processes of a search on this machine, and the chief's loop beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_RESTARTS = 10
_USER_ERROR = 2


class Workers:
    """Worker processes on this machine; one that dies is started again and takes up its trial.

    Args:
        count: How many.
        arguments: What follows `mtlkeras` on their command line.
        environment: The chief's variables.
        folder: Where their logs go.
        say: Takes a line of text for the user.
    """

    def __init__(
        self,
        count: int,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._arguments, self._environment, self._folder, self._say = arguments, environment, folder, say
        self._threads = str(max(1, (os.cpu_count() or 1) // count))
        self._restarts = 0
        self._processes = {f"tuner{number}": self._start(f"tuner{number}") for number in range(count)}

    def _start(self, name: str) -> subprocess.Popen:
        # Each worker has its share of the cores: all threads of all would get in each other's way.
        environment = {
            "TF_NUM_INTRAOP_THREADS": self._threads,
            "TF_NUM_INTEROP_THREADS": self._threads,
            **os.environ,
            **self._environment,
            "KERASTUNER_TUNER_ID": name,
        }
        with open(self._log(name), "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mtlkeras", *self._arguments],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    @property
    def processes(self) -> list[subprocess.Popen]:
        """The processes that are there."""
        return list(self._processes.values())

    def at_work(self) -> bool:
        """Returns whether any is at work, after starting again those that died.

        Raises:
            RuntimeError: If one cannot work, or they die again and again.
        """
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code == 0:
                del self._processes[name]
            elif code is not None:
                self._restart(name, code)
        return bool(self._processes)

    def _restart(self, name: str, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        self._restarts += 1
        if code == _USER_ERROR or self._restarts > _RESTARTS:
            raise ChildProcessError(
                f"Worker {name} {how}, number {self._restarts} of those that died: {self._last_line(name)} "
                f"Its log is {self._log(name)}."
            )
        self._say(f"worker {name} {how}; it is started again and takes up its trial")
        self._processes[name] = self._start(name)

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."

    def stop(self) -> None:
        """Ends those that are still there."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()


def serve(tuner: Any, workers: Workers | None, on_change: Callable[[], None]) -> None:
    """Hands out trials as the chief until there are none left.

    Args:
        tuner: The chief's tuner.
        workers: Those on this machine; `None` if they are started elsewhere.
        on_change: Called twice a second.
    """
    failures: list[BaseException] = []

    def search() -> None:
        try:
            tuner.search(verbose=0)
        except BaseException as error:
            failures.append(error)

    # A thread of its own: KerasTuner's server only returns once all workers have signed off, and
    # one that died never does.
    thread = threading.Thread(target=search, name="chief", daemon=True)
    thread.start()
    while workers.at_work() if workers is not None else thread.is_alive():
        if failures:
            break
        on_change()
        time.sleep(0.5)
    if failures:
        raise failures[0]
