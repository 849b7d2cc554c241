"""Layers between text and the embeddings of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor
from mtlkeras.text.encoder import FIRST, PADDING, UNKNOWN, TextEncoder


@keras.saving.register_keras_serializable("mtlkeras")
class EncodeText(keras.layers.Layer):
    """Turns strings into the ids of a `TextEncoder`, inside a model; TensorFlow only.

    Args:
        encoder: The `TextEncoder`.

    Input: strings, either texts `(batch,)` or tokens `(batch, time)` in which `""` is padding.
    Output: `int32` `(batch, time)`, or `(batch, time, columns)` with casing or characters, as
    from `TextEncoder.encode`. Tokens that come split keep their places, padding included.

    Raises:
        ValueError: On another backend.
        tf.errors.InvalidArgumentError: In a call, for a text longer than the encoder's
            `max_length`, unless it truncates.

    Example:

    ```python
    encoder = mtlkeras.data.TextEncoder(("the", "cat"))
    layer = mtlkeras.layers.EncodeText(encoder)
    layer(keras.ops.convert_to_tensor(["the cat", "a"]))  # [[2, 3], [1, 0]]
    ```
    """

    def __init__(self, encoder: TextEncoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Only the TensorFlow backend can look up strings inside a model. Make the input one of "
                "whole numbers, and give it TextEncoder.encode(texts)."
            )
        from mtlkeras._backends.tensorflow import strings as text

        self.encoder = encoder
        self.supports_jit = False  # XLA knows no strings.
        self._words = text.make_table(encoder.vocabulary, FIRST, UNKNOWN)
        self._letters = text.make_table(encoder.alphabet or (), FIRST, UNKNOWN)

    def call(self, inputs: Tensor) -> Tensor:
        from mtlkeras._backends.tensorflow import strings as text

        encoder = self.encoder
        raw = len(inputs.shape) == 1
        tokens = text.split_texts(inputs, encoder.split) if raw else inputs
        if encoder.max_length is not None:
            tokens = text.bounded(tokens, encoder.max_length, encoder.truncate)
            tokens = tokens[:, : encoder.max_length] if raw else tokens
        ids = [self._words.lookup(text.lower(tokens) if encoder.lowercase else tokens)]
        if encoder.casing:
            ids.append(text.casings(tokens))
        ids = [ops.expand_dims(ops.cast(part, "int32"), -1) for part in ids]
        if encoder.alphabet is not None:
            letters = self._letters.lookup(text.characters(tokens, encoder.word_length))
            ids.append(ops.cast(letters, "int32"))
        return ops.concatenate(ids, axis=-1) if encoder.columns > 1 else ops.squeeze(ids[0], -1)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        shape = (inputs.shape[0], inputs.shape[1] if len(inputs.shape) > 1 else None)
        columns = (self.encoder.columns,) if self.encoder.columns > 1 else ()
        return keras.KerasTensor((*shape, *columns), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EncodeText:
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


@keras.saving.register_keras_serializable("mtlkeras")
class TokenMask(keras.layers.Layer):
    """Tells where there is a token: where its id is not 0.

    Input: whole numbers `(batch, time)` or `(batch, time, columns)`, whose first column counts.
    Output: bool `(batch, time)`.

    Example:

    ```python
    mtlkeras.layers.TokenMask()(np.array([[5, 2, 0]]))  # [[True, True, False]]
    ```
    """

    def call(self, inputs: Tensor) -> Tensor:
        ids = inputs[..., 0] if len(inputs.shape) == 3 else inputs
        return ops.not_equal(ids, PADDING)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape[:2], dtype="bool")


@keras.saving.register_keras_serializable("mtlkeras")
class UnknownTokens(keras.layers.Layer):
    """In training, takes some tokens for unknown ones, the rare more often than the frequent.

    Args:
        rates: Probability by id of a token to become id 1.
        seed: Seed of the choice.

    Input and output: `int32` ids of shape `(batch, time)`.

    Example:

    ```python
    layer = mtlkeras.layers.UnknownTokens([0.0, 0.0, 1.0, 0.0])
    layer(np.array([[2, 3, 0]]), training=True)  # [[1, 3, 0]]
    ```
    """

    def __init__(self, rates: Sequence[float], seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rates = [float(rate) for rate in rates]
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training:
            return inputs
        drawn = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        rates = ops.take(ops.convert_to_tensor(self.rates, "float32"), inputs, axis=0)
        return ops.where(drawn < rates, ops.full_like(inputs, UNKNOWN), inputs)

    def compute_output_spec(self, inputs: Tensor, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": self.rates, "seed": self.seed}
