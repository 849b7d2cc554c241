"""Embeddings that begin with pretrained vectors from a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._types import DType, Tensor
from mtlkeras.text.encoder import FIRST, TextEncoder


@keras.saving.register_keras_serializable("mtlkeras")
class WordVectors(keras.initializers.Initializer):
    """Begins the embeddings of the words of a file with its vectors, all others at random.

    Words that the file lacks get normally distributed numbers of the file's own mean size.
    A model that is loaded takes its weights from its own file: where the file of vectors is
    not there any more, all begin at random.

    Args:
        path: A text file with a word and its numbers in each line, or a `.npy` array with a row
            for each token of the encoder's vocabulary.
        encoder: The `mtlkeras.data.TextEncoder`, which gives each word its id.
        seed: Seed of the other embeddings.

    Example:

    ```python
    encoder = mtlkeras.data.TextEncoder(("the", "cat"))
    np.save("vectors.npy", np.ones((2, 50)))
    layer = keras.layers.Embedding(
        encoder.size, 50, embeddings_initializer=mtlkeras.layers.WordVectors("vectors.npy", encoder)
    )
    ```
    """

    def __init__(self, path: str, encoder: TextEncoder, seed: int = 0) -> None:
        self.path, self.encoder, self.seed = str(path), encoder, seed

    def __call__(self, shape: tuple[int, ...], dtype: DType = None) -> Tensor:
        random = np.random.default_rng(self.seed)
        found = read_vectors(self.path, self.encoder) if Path(self.path).exists() else {}
        scale = float(np.std(list(found.values()))) if found else 0.05
        values = random.normal(0.0, scale or 0.05, shape)
        for row, vector in found.items():
            values[row] = vector
        return keras.ops.convert_to_tensor(values, dtype or keras.backend.floatx())

    def get_config(self) -> dict[str, Any]:
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {"path": self.path, "encoder": encoder, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WordVectors:
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


def read_vectors(path: str, encoder: TextEncoder) -> dict[int, np.ndarray]:
    """Returns the vectors of a file by the ids of the encoder's tokens.

    A token that the file lacks takes the vector of the word in lower case, if that is there.

    Raises:
        ValueError: If a line or the array does not fit.
    """
    if path.endswith(".npy"):
        array = np.load(path)
        if array.ndim != 2 or len(array) != len(encoder.vocabulary):
            raise ValueError(
                f"{path} must have one row for each of the {len(encoder.vocabulary)} tokens of the encoder; "
                f"received an array of shape {array.shape}."
            )
        return dict(enumerate(array.astype("float32"), FIRST))
    ids = {token: number for number, token in enumerate(encoder.vocabulary, FIRST)}
    lowered: dict[str, list[int]] = {}
    for token, number in ids.items():
        lowered.setdefault(token.lower(), []).append(number)
    exact: dict[int, np.ndarray] = {}
    loose: dict[int, np.ndarray] = {}
    for word, vector in _lines(path):
        if word in ids:
            exact[ids[word]] = vector
        for number in lowered.get(word, ()):
            loose[number] = vector
    return {**loose, **exact}


def _lines(path: str) -> Any:
    length = None
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            cells = line.rstrip().split(" ")
            if number == 1 and len(cells) == 2:
                continue  # The counts that word2vec writes first.
            try:
                vector = np.array(cells[1:], "float32")
            except ValueError:
                raise ValueError(f"Line {number} of {path}: expected a word and its numbers.") from None
            length = len(vector) if length is None else length
            if len(vector) != length or not length:
                raise ValueError(f"Line {number} of {path} has {len(vector)} numbers instead of {length}.")
            yield cells[0], vector


def check_vectors(path: str, encoder: TextEncoder, units: int, argument: str) -> None:
    """Raises `ValueError` unless a file of vectors is there and of the length of the embeddings."""
    if not Path(path).is_file():
        raise ValueError(f"{argument}: there is no file {path}.")
    found = read_vectors(path, encoder)
    if not found:
        raise ValueError(f"{argument}: {path} has a vector for none of the encoder's tokens.")
    length = len(next(iter(found.values())))
    if length != units:
        raise ValueError(
            f"{argument}: {path} has vectors of length {length}, and embedding_units is {units}."
        )
