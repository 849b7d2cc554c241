"""The special tokens of BERT, within a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._backends import check_at_most
from mtlkeras._types import NamedTensors, Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class AddSpecialTokens(keras.layers.Layer):
    """Puts a mark before the first segment and one after each: `[CLS] a [SEP] b [SEP]`.

    Devlin et al. 2019, BERT, section 3 and Figure 2. Padding (id 0) may stand anywhere; it keeps
    its place, and does not count for the positions.

    Args:
        start: Id of `[CLS]`.
        end: Id of `[SEP]`.
        max_length: Largest number of tokens of all segments, the marks included.

    Input: a list of one or two tensors of whole numbers `(batch, time)`. Output: a dict of `"ids"`,
    `"positions"`, `"segments"`, int32, and `"mask"`, bool, all `(batch, marks + times)`.

    Raises:
        ValueError: On JAX, for a batch that is longer than `max_length`, padding included.
        tf.errors.InvalidArgumentError: On TensorFlow, for a text that is.

    Example:

    ```python
    layer = mtlkeras.layers.AddSpecialTokens(start=8, end=9, max_length=6)
    layer([np.array([[3, 4, 0]])])["ids"]  # [[8, 3, 4, 0, 9]]
    ```
    """

    def __init__(self, start: int, end: int, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.end, self.max_length = start, end, max_length

    def call(self, inputs: Sequence[Tensor]) -> NamedTensors:
        column = ops.zeros((ops.shape(inputs[0])[0], 1), "int32")
        parts, segments = [column + self.start], [0]
        for number, given in enumerate(inputs):
            parts += [ops.cast(given, "int32"), column + self.end]
            segments += [number, number]
        ids = ops.concatenate(parts, axis=1)
        mask = ops.not_equal(ids, 0)
        positions = ops.maximum(ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1, 0)
        text = (
            f"A text has more than max_length={self.max_length} tokens, of which BERT itself takes "
            f"{len(inputs) + 1}. Enlarge max_length, or cut texts: TextEncoder(max_length=, truncate=True)."
        )
        positions = check_at_most(positions, self.max_length - 1, ids.shape[1], text)
        kinds = [ops.full_like(part, number) for part, number in zip(parts, segments, strict=True)]
        return {
            "ids": ids,
            "positions": positions,
            "segments": ops.concatenate(kinds, axis=1),
            "mask": mask,
        }

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> dict[str, keras.KerasTensor]:
        times = [ids.shape[1] for ids in inputs]
        time = None if None in times else sum(times) + len(times) + 1
        shape = (inputs[0].shape[0], time)
        kinds = {"ids": "int32", "positions": "int32", "segments": "int32", "mask": "bool"}
        return {name: keras.KerasTensor(shape, dtype=dtype) for name, dtype in kinds.items()}

    def get_config(self) -> dict[str, Any]:
        own = {"start": self.start, "end": self.end, "max_length": self.max_length}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("mtlkeras")
class WithoutSpecialTokens(keras.layers.Layer):
    """Leaves out the steps that `AddSpecialTokens` put in.

    Input: a list of the steps, `(batch, time, ...)`, and of what `AddSpecialTokens` was called with.
    Output: the steps of the tokens, of all segments one after the other.

    Example:

    ```python
    layer = mtlkeras.layers.WithoutSpecialTokens()
    layer([np.array([[8, 3, 4, 9]]), np.array([[3, 4]])])  # [[3, 4]]
    ```
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, *segments = inputs
        first, parts = 1, []
        for ids in segments:
            last = first + ops.shape(ids)[1]
            parts.append(x[:, first:last])
            first = last + 1
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        x, *segments = inputs
        times = [ids.shape[1] for ids in segments]
        time = None if None in times else sum(times)
        return keras.KerasTensor((x.shape[0], time, *x.shape[2:]), dtype=x.dtype)
