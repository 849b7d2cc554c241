"""Backends where a step sees the whole batch: JAX arrays are global under `keras.distribution`."""

from __future__ import annotations

from typing import Any


def replica_count() -> int:
    """Returns how many replicas compute a step together."""
    return 1


def sum_over_replicas(tensor: Any) -> Any:
    """Returns the tensor summed over all replicas: here, the tensor itself."""
    return tensor
