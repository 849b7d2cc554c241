"""JAX: a step sees the whole batch, since arrays are global under `keras.distribution`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import keras


def replica_count() -> int:
    """Returns how many replicas compute a step together."""
    return 1


def sum_over_replicas(tensor: Any) -> Any:
    """Returns the tensor summed over all replicas: here, the tensor itself."""
    return tensor


def is_chief() -> bool:
    """Returns whether this process writes the files: the only one, or the first of several."""
    return jax.process_index() == 0


class _Devices:
    """A `keras.distribution` that holds within a scope."""

    def __init__(self, devices: list[str]) -> None:
        self._devices = devices

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        with keras.distribution.DataParallel(devices=self._devices).scope():
            yield


def make_strategy(name: str) -> _Devices:
    """Returns a strategy; see `mtlkeras.training.strategy`."""
    if name == "multi_worker":
        raise NotImplementedError("The strategy multi_worker needs the TensorFlow backend.")
    devices = keras.distribution.list_devices()
    return _Devices(devices[:1] if name == "one_device" else devices)
