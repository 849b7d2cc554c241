"""What all trunks for text have in common: from words or ids to embedded tokens."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.layers.characters import CharacterBiLSTM, CharacterCNN
from mtlkeras.layers.text import EncodeText, TokenMask, UnknownTokens
from mtlkeras.layers.word_vectors import WordVectors, check_vectors
from mtlkeras.specs import tunable
from mtlkeras.text import TextEncoder
from mtlkeras.text.encoder import NUM_CASINGS
from mtlkeras.trunks._checks import check_regularization
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow

_CHARACTERS = {"cnn": CharacterCNN, "bilstm": CharacterBiLSTM}
_CASING_UNITS = 8
_CHARACTER_EMBEDDING_UNITS = 30


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class TokenTrunk(Trunk):
    """Base of the trunks for text: what the input may be.

    The input is one of
    - strings of shape `()`, texts that the encoder splits (TensorFlow only),
    - strings of shape `(time,)`, tokens with `""` for padding (TensorFlow only),
    - whole numbers of shape `(time,)` or `(time, columns)`, as `TextEncoder.encode` gives them;
      id 0 is padding.
    The time may be `None`.

    Args:
        encoder: The `mtlkeras.data.TextEncoder`, which becomes a part of the model.
        vocabulary_size: Without an encoder, the number of ids, padding included.
        l1: L1 penalty on every kernel of the trunk; embeddings have none.
        l2: L2 penalty on every kernel: `l2 * sum(kernel ** 2)`.
        dropout: Rate of dropout, in [0, 1).
        seed: Seed of what the trunk draws in training.
        remat: As for every `Trunk`.
    """

    gives: ClassVar[tuple[str, ...]] = ("vector", "sequence")

    encoder: TextEncoder | None = None
    vocabulary_size: int | None = None
    l1: float = tunable(0.0, 0.0, 1e-6, 1e-5)
    l2: float = tunable(0.0, 0.0, 1e-6, 1e-5, 1e-4)
    dropout: float = tunable(0.3, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    seed: int | None = None

    def validate(self) -> None:
        name = type(self).__name__
        if (self.encoder is None) == (self.vocabulary_size is None):
            raise ValueError(
                f"{name}: give either encoder=, such as mtlkeras.data.TextEncoder.from_texts(texts), or "
                "vocabulary_size=, the number of ids, for an input of ids."
            )
        if self.encoder is not None and not isinstance(self.encoder, TextEncoder):
            raise ValueError(
                f"{name}: encoder must be a mtlkeras.data.TextEncoder; received {self.encoder!r}."
            )
        if self.vocabulary_size is not None:
            check_positive(self, "vocabulary_size")
        check_regularization(self)

    @property
    def _size(self) -> int:
        """Number of ids of tokens, padding included."""
        return self.encoder.size if self.encoder is not None else self.vocabulary_size or 0

    def _ids(self, inputs: Any) -> Any:
        """Returns the ids of the one input."""
        name = type(self).__name__
        flat = keras.tree.flatten(inputs)
        if len(flat) != 1:
            raise ValueError(f"{name} takes one input of texts, tokens or ids; received {len(flat)} inputs.")
        return self._ids_of(flat[0], "encode_text")

    def _ids_of(self, x: Tensor, layer: str) -> Any:
        name, encoder = type(self).__name__, self.encoder
        if x.dtype == "string":
            if encoder is None:
                raise ValueError(f"{name}: an input of strings needs encoder=.")
            if len(x.shape) > 2:
                raise ValueError(
                    f"{name} takes texts of shape () or tokens of shape (time,); "
                    f"received {tuple(x.shape[1:])}."
                )
            return EncodeText(encoder, name=layer)(x)
        columns = encoder.columns if encoder else 1
        if keras.backend.is_float_dtype(x.dtype):
            raise ValueError(
                f"{name} takes an input of strings or of whole numbers (ids); received the dtype {x.dtype}. "
                f"Make it keras.Input((None,), dtype='int32') or keras.Input((None,), dtype='string')."
            )
        expected = (x.shape[1] if len(x.shape) > 1 else None, *([columns] if columns > 1 else []))
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"{name} takes ids of shape {expected} here; received {tuple(x.shape[1:])}.")
        return x


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class TextTrunk(TokenTrunk):
    """Base of the trunks that embed the tokens of a text one by one.

    The input is as for `TokenTrunk`. Where the encoder has casings or an alphabet, tokens are
    embedded by them too.

    Args:
        embedding_units: Length of the embedding of a token.
        embedding_range: The embeddings begin uniformly between this and its negative; the default is that
            of Keras. Rare words change little in training, so where they matter a larger one may help:
            `sqrt(3 / embedding_units)` in Ma and Hovy 2016, section 3.2.
        vectors: Path of a file with pretrained vectors that the embeddings begin with: lines of a
            word and its numbers (as of GloVe; a first line of two counts is passed over), or a
            `.npy` array with a row for each token of the encoder's vocabulary, in its order. It is read
            when the model is built, and not needed after that.
        train_embeddings: Whether the embeddings are trained.
        characters: What reads the characters of a token where the encoder has an alphabet:
            `"cnn"` (Ma and Hovy 2016) or `"bilstm"` (Lample et al. 2016).
        character_units: Length of what it gives for a token.

    The other fields are those of `TokenTrunk`.
    """

    embedding_units: int = tunable(100, 50, 100, 200, 300)
    embedding_range: float = tunable(0.05, 0.05, 0.2, 0.5)
    vectors: str | None = None
    train_embeddings: bool = True
    characters: str = "cnn"
    character_units: int = tunable(50, 25, 50, 100)

    def validate(self) -> None:
        super().validate()
        for field in ("embedding_units", "character_units"):
            check_positive(self, field)
        if not 0 < self.embedding_range < math.inf:
            raise ValueError(
                f"{type(self).__name__}: embedding_range must be a positive number; "
                f"received {self.embedding_range}."
            )
        check_choice(self, "characters", tuple(_CHARACTERS))
        if self.vectors is not None and self.encoder is None:
            raise ValueError(f"{type(self).__name__}: vectors are found by word, so they need an encoder.")

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the ids of the input; beside them is the `"mask"`, true where there is a token."""
        ids = self._ids(inputs)
        return Flow(ids, beside={"mask": TokenMask(name="mask")(ids)})

    def _embedding(self, flow: Flow) -> Flow:
        """Embeds the tokens, with the dropout of whole features."""
        ids = flow.x
        encoder = self.encoder
        columns = encoder.columns if encoder else 1
        own = ids if columns == 1 else ids[..., 0]
        parts = [self._embedded(own)]
        if encoder is not None and encoder.casing:
            parts.append(
                keras.layers.Embedding(NUM_CASINGS, _CASING_UNITS, name="casing_embedding")(ids[..., 1])
            )
        if encoder is not None and encoder.alphabet is not None:
            layer = _CHARACTERS[self.characters](
                encoder.alphabet_size, self.character_units, _CHARACTER_EMBEDDING_UNITS, name="characters"
            )
            parts.append(layer(ids[..., 1 + encoder.casing :]))
        x = keras.layers.Concatenate(name="embedded")(parts) if len(parts) > 1 else parts[0]
        return flow.to(self._dropped(x, "embedding_dropout"))

    def _embedded(self, ids: Any) -> Any:
        encoder = self.encoder
        initializer: Any = keras.initializers.RandomUniform(-self.embedding_range, self.embedding_range)
        if encoder is not None and encoder.oov_dropout:
            ids = UnknownTokens(encoder.oov_rates().tolist(), seed=self.seed, name="unknown_tokens")(ids)
        if self.vectors is not None and encoder is not None:
            check_vectors(self.vectors, encoder, self.embedding_units, f"{type(self).__name__}: vectors")
            initializer = WordVectors(self.vectors, encoder)
        return keras.layers.Embedding(
            self._size,
            self.embedding_units,
            embeddings_initializer=initializer,
            trainable=self.train_embeddings,
            name="token_embedding",
        )(ids)

    def _dropped(self, x: Tensor, name: str) -> Any:
        """Drops whole features of a sentence: the same ones in all of its steps."""
        return keras.layers.SpatialDropout1D(self.dropout, name=name)(x) if self.dropout else x
