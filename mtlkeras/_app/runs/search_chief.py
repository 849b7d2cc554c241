"""The chief of a search in several processes, which hands out trials, as its workers find and call it.

They find each other by KerasTuner's own environment variables, on one machine or on several.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

CHIEF_ID = "chief"
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
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
