"""JAX: a step sees the whole batch, since arrays are global under `keras.distribution`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import keras
import numpy as np

from mtlkeras._missing import MISSING

_DEFAULT_BATCH_SIZE = 32


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


@contextlib.contextmanager
def recover_state(model: Any) -> Any:
    """Gives the variables of `model` their values back if its run breaks off.

    The JAX trainer holds a model's state outside of its variables while it runs, and leaves
    them empty when an exception passes through.
    """
    variables = list(model.variables) + list(getattr(model.optimizer, "variables", ()))
    before = [variable.value for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            # Before its first step the trainer has recorded no state, and what was there is whole.
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise


def divisible(x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> tuple[Any, Any, Any]:
    """Fills data up so that the devices of a `DataParallel` get parts of the same length.

    What is added has no labels, so it counts in no loss and no metric. It does count in the
    statistics of batch normalisation, in the last batch.

    Args:
        x: Inputs, arrays or a `tf.data.Dataset` with labels.
        y: Labels by task as arrays, or `None` with a data set.
        sample_weight: Weights by task, one array for all, or `None`.
        batch_size: Examples in a batch of arrays.

    Raises:
        ValueError: If the batch size is no multiple of the number of devices.
    """
    parts = _parts()
    if parts == 1:
        return x, y, sample_weight
    if y is None:
        return (x.map(lambda *batch: _filled_up(batch, parts)) if hasattr(x, "element_spec") else x), y, None
    _check_batch_size(batch_size, parts)
    extra = -_rows(x) % parts
    return (
        keras.tree.map_structure(lambda a: _repeated(a, extra), x),
        keras.tree.map_structure(lambda a: _unlabelled(a, extra), y),
        keras.tree.map_structure(
            lambda a: None if a is None else _followed_by(np.asarray(a), extra, 0), sample_weight
        ),
    )


class Trainer:
    """What a model's training needs on this backend beyond Keras' own; comes before `keras.Model`."""

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """As in Keras; also if the devices of a `DataParallel` do not divide the number of rows."""
        parts = _parts()
        if parts == 1 or not all(isinstance(a, np.ndarray) for a in keras.tree.flatten(x)):
            return super().predict(x, batch_size=batch_size, **kwargs)  # type: ignore[misc]
        _check_batch_size(batch_size, parts)
        rows = _rows(x)
        padded = keras.tree.map_structure(lambda a: _repeated(a, -rows % parts), x)
        outputs = super().predict(padded, batch_size=batch_size, **kwargs)  # type: ignore[misc]
        return keras.tree.map_structure(lambda a: a[:rows], outputs)


def _parts() -> int:
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        return 1
    return int(np.size(distribution.device_mesh.devices))


def _check_batch_size(batch_size: int | None, parts: int) -> None:
    batch_size = batch_size or _DEFAULT_BATCH_SIZE
    if batch_size % parts:
        raise ValueError(
            f"batch_size must be a multiple of the {parts} devices of keras.distribution; "
            f"received {batch_size}."
        )


def _rows(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


def _repeated(array: Any, extra: int) -> np.ndarray:
    array = np.asarray(array)
    return np.concatenate([array, array[:1].repeat(extra, axis=0)])


def _unlabelled(array: Any, extra: int) -> np.ndarray:
    array = np.asarray(array)
    return _followed_by(array, extra, np.nan if array.dtype.kind == "f" else MISSING)


def _followed_by(array: np.ndarray, extra: int, value: Any) -> np.ndarray:
    return np.concatenate([array, np.full((extra, *array.shape[1:]), value, array.dtype)])


def _filled_up(batch: tuple, parts: int) -> tuple:
    """Fills up one batch of a data set of inputs, labels and perhaps weights."""
    import tensorflow as tf

    x, y, *weights = batch
    extra = -tf.shape(tf.nest.flatten(x)[0])[0] % parts

    def followed_by(tensor: Any, value: Any) -> Any:
        rows = tf.fill(tf.concat([[extra], tf.shape(tensor)[1:]], 0), tf.cast(value, tensor.dtype))
        return tf.concat([tensor, rows], 0)

    def repeated(tensor: Any) -> Any:
        return tf.concat([tensor, tf.repeat(tensor[:1], extra, axis=0)], 0)

    return (
        tf.nest.map_structure(repeated, x),
        tf.nest.map_structure(lambda t: followed_by(t, np.nan if t.dtype.is_floating else MISSING), y),
        *(tf.nest.map_structure(lambda t: followed_by(t, 0), w) for w in weights),
    )
