"""From the characters of tokens to features of tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._types import Shape, Tensor


class _CharacterLayer(keras.layers.Layer):
    """Embeds characters; a subclass makes one vector of those of a token.

    Args:
        vocabulary_size: Number of ids of characters; id 0 is padding.
        units: Length of the vector.
        embedding_units: Length of the embedding of a character.
    """

    def __init__(self, vocabulary_size: int, units: int, embedding_units: int = 30, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.units, self.embedding_units = vocabulary_size, units, embedding_units
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_units, dtype=self.dtype_policy)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:2], self.units), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_units": self.embedding_units,
        }


@keras.saving.register_keras_serializable("mtlkeras")
class CharacterCNN(_CharacterLayer):
    """The largest answer of each filter over the characters of a token.

    Ma and Hovy 2016, End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF, section 2.1:
    filters of three characters, padding on both sides, maximum over the token.

    Args:
        vocabulary_size: Number of ids of characters; id 0 is padding.
        units: Number of filters.
        embedding_units: Length of the embedding of a character.

    Input: whole numbers `(batch, time, characters)`. Output: `(batch, time, units)`, zeros for a
    token without characters.

    Example:

    ```python
    layer = mtlkeras.layers.CharacterCNN(vocabulary_size=50, units=16)
    layer(np.array([[[3, 4, 0], [5, 0, 0]]])).shape  # (1, 2, 16)
    ```
    """

    def __init__(self, vocabulary_size: int, units: int, embedding_units: int = 30, **kwargs: Any) -> None:
        super().__init__(vocabulary_size, units, embedding_units, **kwargs)
        self.filters = keras.layers.Conv2D(units, (1, 3), padding="same", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        self.embedding.build(input_shape)
        self.filters.build((*input_shape, self.embedding_units))

    def call(self, inputs: Tensor) -> Tensor:
        mask = ops.expand_dims(ops.not_equal(inputs, 0), -1)
        x = self.embedding(inputs)
        # What fills up a word up to the common length must not be seen by the filters.
        x = self.filters(ops.where(mask, x, ops.zeros_like(x)))
        # After a ReLU zero is the least, so that hiding with zeros leaves the maximum as it is.
        return ops.max(ops.where(mask, ops.relu(x), ops.zeros_like(x)), axis=2)


@keras.saving.register_keras_serializable("mtlkeras")
class CharacterBiLSTM(_CharacterLayer):
    """The last states of LSTMs that read the characters of a token from both ends.

    Lample et al. 2016, Neural Architectures for Named Entity Recognition, section 4.1.

    Args:
        vocabulary_size: Number of ids of characters; id 0 is padding.
        units: Length of the result, half of it from each direction; even.
        embedding_units: Length of the embedding of a character.

    Input: whole numbers `(batch, time, characters)`. Output: `(batch, time, units)`.

    Raises:
        ValueError: If `units` is odd.

    Example:

    ```python
    layer = mtlkeras.layers.CharacterBiLSTM(vocabulary_size=50, units=16)
    layer(np.array([[[3, 4, 0], [5, 0, 0]]])).shape  # (1, 2, 16)
    ```
    """

    def __init__(self, vocabulary_size: int, units: int, embedding_units: int = 30, **kwargs: Any) -> None:
        super().__init__(vocabulary_size, units, embedding_units, **kwargs)
        if units % 2:
            raise ValueError(f"CharacterBiLSTM: units must be even; received {units}.")
        self.reader = keras.layers.Bidirectional(
            keras.layers.LSTM(units // 2, dtype=self.dtype_policy), dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        self.embedding.build(input_shape)
        self.reader.build((None, input_shape[2], self.embedding_units))

    def call(self, inputs: Tensor) -> Tensor:
        shape = ops.shape(inputs)
        ids = ops.reshape(inputs, (-1, shape[2]))
        x = self.reader(self.embedding(ids), mask=ops.not_equal(ids, 0))
        return ops.reshape(x, (shape[0], shape[1], self.units))
