"""The check that inputs hold no NaN and no infinity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtlkeras._types import Dataset


def check_finite(dataset: Dataset) -> Dataset:
    """Makes a data set fail on the first batch with NaN or infinity in an input.

    Args:
        dataset: A `tf.data.Dataset` of `(inputs, labels)` or `(inputs, labels, weights)`;
            labels may have NaN, which stands for a missing one.

    Returns:
        The same data set with the check. Reading a bad batch raises
        `tf.errors.InvalidArgumentError` with the input's name in the message.

    Example:

    ```python
    train = mtlkeras.data.load({"x": np.ones((3, 2)), "y": np.arange(3)}, {"y": "y"})
    train = mtlkeras.data.check_finite(train)
    ```
    """
    import tensorflow as tf

    def checked(x: Any, *rest: Any) -> Any:
        if isinstance(x, Mapping):
            x = {name: _check(tf, value, f"Input '{name}'") for name, value in x.items()}
        else:
            x = _check(tf, x, "The input")
        return (x, *rest)

    return dataset.map(checked, num_parallel_calls=tf.data.AUTOTUNE)


def _check(tf: Any, value: Any, what: str) -> Any:
    if not value.dtype.is_floating:
        return value
    return tf.debugging.assert_all_finite(value, f"{what} has NaN or infinity")


def check_finite_arrays(inputs: Mapping[str, np.ndarray], row_name: Callable[[int], str]) -> None:
    """Checks inputs that are in memory.

    Raises:
        ValueError: If an input has NaN or infinity; the message names input and row.
    """
    for name, array in inputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))[0])
            raise ValueError(f"Input '{name}' has NaN or infinity in {row_name(row)}.")
