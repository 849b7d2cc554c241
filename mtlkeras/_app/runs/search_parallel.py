"""Several processes in one search: a chief that hands out trials, and workers that train them.

They find each other by KerasTuner's own environment variables, on one machine or on several.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

CHIEF_ID = "chief"
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
_RESTARTS = 10
_USER_ERROR = 2
_CALL_SECONDS = 600  # The surrogate of a Bayesian search may take a while.


@dataclasses.dataclass(frozen=True)
class Chief:
    """The process that hands out trials, as its workers see it.

    Args:
        ip: Its address.
        port: Its port.
        seconds: How long a worker waits for it.
    """

    ip: str
    port: int
    seconds: float

    def answers(self) -> bool:
        """Returns whether something listens there."""
        try:
            socket.create_connection((self.ip, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def wait(self) -> None:
        """Waits for the chief to start.

        Raises:
            ConnectionError: If it has not after the time.
        """
        if not self._answers_in_time():
            raise ConnectionError(
                f"No chief answers at {self.ip}:{self.port}; waited {self.seconds:g} s. Start it with "
                f"KERASTUNER_TUNER_ID={CHIEF_ID}, check KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, "
                "or give it longer with --chief-timeout."
            )

    def check(self) -> None:
        """Raises a fatal `ConnectionError` if the chief is gone."""
        if not self._answers_in_time():
            raise self.lost()

    def lost(self) -> Exception:
        """Returns the error for a chief that is gone."""
        from keras_tuner.errors import FatalError

        class ChiefLostError(FatalError, ConnectionError):
            """Ends the search in this process, which KerasTuner does for fatal errors only."""

        return ChiefLostError(
            f"The chief at {self.ip}:{self.port} no longer answers. What it has noted is kept: start "
            "it and the workers again with --resume."
        )

    def _answers_in_time(self) -> bool:
        end = time.monotonic() + self.seconds
        while not self.answers():
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def calls(self, stub: Any) -> Calls:
        """Returns the calls to the chief that end when it is gone."""
        return Calls(stub, self)

    def callback(self) -> keras.callbacks.Callback:
        """Returns a callback that ends a training whose result nobody would take."""
        return _WatchChief(self)


class Calls:
    """The calls that a worker makes to its chief; KerasTuner's own wait an hour for one that is gone.

    Args:
        stub: KerasTuner's own, as in `tuner.oracle.stub`.
        chief: The chief.
    """

    def __init__(self, stub: Any, chief: Chief) -> None:
        self._stub, self._chief = stub, chief

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import grpc

        def call(request: Any, **kwargs: Any) -> Any:
            try:
                return getattr(self._stub, name)(request, timeout=_CALL_SECONDS)
            except grpc.RpcError as error:
                raise self._chief.lost() from error

        return call


class _WatchChief(keras.callbacks.Callback):
    """Looks every few seconds whether the chief is there."""

    def __init__(self, chief: Chief, every: float = 10.0) -> None:
        super().__init__()
        self._chief, self._every = chief, every
        self._next = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() > self._next:
            self._chief.check()
            self._next = time.monotonic() + self._every


def role(environment: Mapping[str, str]) -> str | None:
    """Returns `"chief"`, `"worker"`, or `None` for a search in one process.

    Raises:
        ValueError: If only some of the variables are set.
    """
    present = [name for name in _VARIABLES if environment.get(name)]
    if not present or present == ["KERASTUNER_TUNER_ID"]:
        return None
    missing = [name for name in _VARIABLES if name not in present]
    if missing:
        raise ValueError(
            f"{present[0]} is set but {' and '.join(missing)} is not: a chief and its workers need all."
        )
    if not environment["KERASTUNER_ORACLE_PORT"].isdecimal():
        raise ValueError(
            f"KERASTUNER_ORACLE_PORT must be a number; received {environment['KERASTUNER_ORACLE_PORT']!r}."
        )
    # KerasTuner's own rule.
    return "chief" if CHIEF_ID in environment["KERASTUNER_TUNER_ID"] else "worker"


def chief_of(environment: Mapping[str, str], seconds: float) -> Chief:
    """Returns the chief that the environment names."""
    return Chief(environment["KERASTUNER_ORACLE_IP"], int(environment["KERASTUNER_ORACLE_PORT"]), seconds)


def local_environment() -> dict[str, str]:
    """Returns the variables of a chief on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return dict(zip(_VARIABLES, (CHIEF_ID, "127.0.0.1", str(port)), strict=True))


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
