"""Inputs that an example lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._missing import MISSING
from mtlkeras._types import Shape, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class Presence(keras.layers.Layer):
    """Tells which examples have an input.

    An example lacks it where all of its entries are NaN (floats), `mtlkeras.MISSING` (whole numbers), `""`
    (strings) or false (bools): one entry that is there makes it present.

    Args:
        among: In place of that, the whole numbers of which any must be among the entries, such as the
            numbers of the sources that have the input.
        zeros: Whether numbers that are all 0 are missing too, as in a sequence of padding or a picture that
            is filled.
        **kwargs: As for every Keras layer.

    Input: `(batch, ...)` of any type. Output: bool `(batch,)`.

    Example:

    >>> np.asarray(mtlkeras.layers.Presence()(np.array([[np.nan, np.nan], [np.nan, 2.0]])))
    array([False,  True])
    """

    def __init__(self, among: Sequence[int] | None = None, zeros: bool = False, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.among = None if among is None else [int(number) for number in among]
        self.zeros = zeros

    def call(self, inputs: Tensor) -> Tensor:
        there = self._entries(inputs)
        return ops.any(there, axis=list(range(1, len(there.shape)))) if len(there.shape) > 1 else there

    def _entries(self, x: Any) -> Any:
        if self.among is not None:
            found = ops.equal(ops.expand_dims(ops.cast(x, "int32"), -1), ops.array(self.among, "int32"))
            return ops.any(found, axis=-1)
        if x.dtype == "string":
            return x != ""  # No operation of Keras knows strings.
        dtype = keras.backend.standardize_dtype(x.dtype)
        if dtype == "bool":
            return x
        there = ops.logical_not(ops.isnan(x)) if keras.backend.is_float_dtype(dtype) else _not_missing(x)
        return ops.logical_and(there, ops.not_equal(x, 0)) if self.zeros else there

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape[:1], dtype="bool")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "among": self.among, "zeros": self.zeros}


@keras.saving.register_keras_serializable("mtlkeras")
class ZeroWhereMissing(keras.layers.Layer):
    """Puts zeros in the place of what examples lack, whatever stands there, NaN and infinity included.

    Inputs are a list: values `(batch, ...)` and bools `(batch,)` that are true where an example has them, as
    `Presence` gives. Output: as the values. No gradient flows to values that are replaced.

    Example:

    >>> layer = mtlkeras.layers.ZeroWhereMissing()
    >>> np.asarray(layer([np.array([[1.0, 2.0], [np.nan, 3.0]]), np.array([True, False])])).tolist()
    [[1.0, 2.0], [0.0, 0.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        values, there = inputs
        there = ops.reshape(there, (-1, *[1] * (len(values.shape) - 1)))
        return ops.where(there, values, ops.zeros_like(values))

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return config


def _not_missing(x: Any) -> Any:
    unsigned = keras.backend.standardize_dtype(x.dtype).startswith("uint")
    return ops.ones_like(x, dtype="bool") if unsigned else ops.not_equal(x, MISSING)
