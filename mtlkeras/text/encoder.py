"""`TextEncoder`: from texts or tokens to ids and back."""

from __future__ import annotations

import collections
import dataclasses
import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mtlkeras._fields import check_positive
from mtlkeras._types import ArrayLike, Dataset
from mtlkeras.specs import Spec, spec
from mtlkeras.text._splitting import CASINGS, casing, check_rule, split_text

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Ids of what fills up a batch, of a token that is not in the vocabulary, and of its first."""

_UNKNOWN_WORD = "[UNK]"


@spec
class TextEncoder(Spec):
    """A tokeniser and its vocabulary, as a value that a model carries along.

    In a text trunk it is a part of the model, so that the saved and exported model takes
    strings (TensorFlow); `encode` gives the same ids as arrays, for JAX.

    Args:
        vocabulary: The known tokens; their ids count from 2. Id 0 is padding, id 1 stands for
            every other token.
        counts: How often each of them was seen; needed for `oov_dropout` only.
        split: What the tokens of a text are: `"whitespace"` (ASCII's), `"punctuation"` (also
            every ASCII punctuation mark is a token), `"characters"` (all of them, blanks too), or
            a regular expression that matches a token, with the syntax that Python and RE2 share.
            Tokens that come split already are taken as they are.
        lowercase: Whether tokens are looked up in lower case.
        casing: Whether each token also has one of seven casings: lower, initial capital, upper,
            mixed, digits, with a digit, without letters.
        alphabet: The known characters, where tokens are also to be seen by their characters
            (in their own case); `None` without. Ids count as those of tokens.
        word_length: Number of characters that are seen of a token, from its start.
        max_length: Largest number of tokens, `None` without bound.
        truncate: Whether what is beyond `max_length` is cut off; otherwise it is an error.
        oov_dropout: Number a of Kiperwasser and Goldberg 2016 (Simple and Accurate Dependency
            Parsing, section 4.4; 0.25 there): in training a token seen n times is taken for an unknown
            one with probability a / (a + n), so that the model learns what to do with unknown ones.

    Raises:
        ValueError: If a field does not fit.

    Example:

    ```python
    encoder = mtlkeras.data.TextEncoder.from_texts(["the cat sat", "the dog"], lowercase=True)
    encoder.vocabulary                      # ('the', 'cat', 'sat', 'dog')
    encoder.encode(["The dog sat", "a cat"])  # [[2, 5, 4], [1, 3, 0]]
    encoder.decode([[2, 5, 4], [1, 3, 0]])  # [['the', 'dog', 'sat'], ['[UNK]', 'cat']]
    ```
    """

    vocabulary: tuple[str, ...]
    _: dataclasses.KW_ONLY
    counts: tuple[int, ...] | None = None
    split: str = "whitespace"
    lowercase: bool = False
    casing: bool = False
    alphabet: tuple[str, ...] | None = None
    word_length: int = 20
    max_length: int | None = None
    truncate: bool = False
    oov_dropout: float = 0.0

    def validate(self) -> None:
        _check_words("vocabulary", self.vocabulary)
        if self.alphabet is not None:
            _check_words("alphabet", self.alphabet)
        check_rule("TextEncoder: split", self.split)
        check_positive(self, "word_length")
        if self.max_length is not None:
            check_positive(self, "max_length")
        if self.counts is not None and len(self.counts) != len(self.vocabulary):
            raise ValueError(
                f"TextEncoder: counts must have one entry for each of the {len(self.vocabulary)} tokens; "
                f"received {len(self.counts)}."
            )
        if not self.oov_dropout >= 0:
            raise ValueError(f"TextEncoder: oov_dropout must not be negative; received {self.oov_dropout!r}.")
        if self.oov_dropout and self.counts is None:
            raise ValueError("TextEncoder: oov_dropout needs counts, which from_texts and the like find.")

    # Making one from data.

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        characters: bool = False,
        **fields: Any,
    ) -> TextEncoder:
        """Makes an encoder with the tokens of texts, the most frequent first.

        Args:
            texts: Strings.
            min_count: How often a token, or a character, must be seen to be known.
            max_size: Largest number of known tokens.
            characters: Whether to look for the alphabet too.
            **fields: Fields of the encoder.

        Raises:
            ValueError: If there is no token in the texts.
        """
        rule = fields.get("split", cls.split)
        check_rule("TextEncoder: split", rule)
        sentences = (split_text(text, rule) for text in texts)
        return cls.from_tokens(
            sentences, min_count=min_count, max_size=max_size, characters=characters, **fields
        )

    @classmethod
    def from_tokens(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        characters: bool = False,
        **fields: Any,
    ) -> TextEncoder:
        """As `from_texts`, from sentences that are lists of tokens; `""` is padding."""
        tokens: collections.Counter[str] = collections.Counter()
        for sentence in sentences:
            tokens.update(_text(token) for token in sentence)
        tokens.pop("", None)
        if not tokens:
            raise ValueError("TextEncoder: there is no token in the texts.")
        letters: collections.Counter[str] = collections.Counter()
        for token, count in tokens.items() if characters else ():
            letters.update(dict.fromkeys(token, count))
        if fields.get("lowercase", cls.lowercase):
            lowered: collections.Counter[str] = collections.Counter()
            for token, count in tokens.items():
                lowered[token.lower()] += count
            tokens = lowered
        kept = _frequent(tokens, min_count)[:max_size]
        alphabet = tuple(letter for letter, _ in _frequent(letters, min_count)) if characters else None
        return cls(
            tuple(token for token, _ in kept),
            counts=tuple(count for _, count in kept),
            **{"alphabet": alphabet, **fields},
        )

    @classmethod
    def from_dataset(cls, dataset: Dataset, name: str | None = None, **arguments: Any) -> TextEncoder:
        """Makes an encoder from the texts or tokens of a data set.

        Args:
            dataset: A data set of `mtlkeras.data.load`, for example.
            name: Name of the input, where there are several.
            **arguments: As for `from_texts`.

        Raises:
            ValueError: If there is no such input of strings.
        """
        batches = (batch[0] if isinstance(batch, tuple) else batch for batch in dataset)
        arrays = [np.asarray(_input(batch, name)) for batch in batches]
        if not arrays or arrays[0].dtype.kind not in "OSU":
            raise ValueError(f"TextEncoder: the data set has no strings{f' in {name!r}' if name else ''}.")
        rows = [row for array in arrays for row in array.tolist()]
        if arrays[0].ndim == 1:
            return cls.from_texts([_text(row) for row in rows], **arguments)
        return cls.from_tokens(rows, **arguments)

    # Sizes.

    @property
    def size(self) -> int:
        """Number of ids of tokens, padding and the unknown one included."""
        return len(self.vocabulary) + FIRST

    @property
    def alphabet_size(self) -> int:
        """Number of ids of characters."""
        return len(self.alphabet or ()) + FIRST

    @property
    def columns(self) -> int:
        """How many ids a token has: its own, its casing's and those of its characters."""
        return 1 + self.casing + (self.word_length if self.alphabet is not None else 0)

    # Encoding.

    def tokens(self, text: str | bytes | Iterable[str | bytes]) -> list[str]:
        """Returns the tokens of a text, or of a sentence that is split already, as they stand there."""
        if isinstance(text, (str, bytes)):
            return split_text(_text(text), self.split)
        return [token for token in map(_text, text) if token]

    def encode(self, texts: Sequence[Any]) -> np.ndarray:
        """Returns the ids of texts.

        Args:
            texts: Strings, or lists of tokens in which `""` is padding.

        Returns:
            `int32` array of shape `(texts, time)`; with casing or characters
            `(texts, time, columns)`, where a token's own id comes first, then its casing, then
            its characters. Zeros fill up the end.

        Raises:
            ValueError: If a text has more than `max_length` tokens, without `truncate`.
        """
        rows = self._bounded([self.tokens(text) for text in texts])
        longest = max(map(len, rows), default=0)
        ids = np.zeros((len(rows), longest, self.columns), np.int32)
        for row, tokens in zip(ids, rows, strict=True):
            for place, token in enumerate(tokens):
                row[place] = self.token_ids(token)
        return ids[..., 0] if self.columns == 1 else ids

    def token_ids(self, token: str) -> list[int]:
        """Returns the ids of one token, `columns` of them."""
        words, letters = _tables(self)
        ids = [words.get(token.lower() if self.lowercase else token, UNKNOWN)]
        if self.casing:
            ids.append(casing(token))
        if self.alphabet is not None:
            seen = [letters.get(letter, UNKNOWN) for letter in token[: self.word_length]]
            ids += seen + [PADDING] * (self.word_length - len(seen))
        return ids

    def _bounded(self, rows: list[list[str]]) -> list[list[str]]:
        long = [number for number, row in enumerate(rows) if self.max_length and len(row) > self.max_length]
        if not long:
            return rows
        if not self.truncate:
            raise ValueError(
                f"TextEncoder: text {long[0]} has {len(rows[long[0]])} tokens, and max_length is "
                f"{self.max_length} (number of such texts: {len(long)}). Enlarge it, or cut them with "
                "truncate=True."
            )
        warnings.warn(
            f"TextEncoder: {len(long)} of {len(rows)} texts were cut to {self.max_length} tokens.",
            stacklevel=3,
        )
        return [row[: self.max_length] for row in rows]

    def decode(self, ids: ArrayLike) -> list[list[str]]:
        """Returns the tokens of ids, `"[UNK]"` for unknown ones, without padding.

        Args:
            ids: Array as `encode` gives it.
        """
        ids = np.asarray(ids)
        ids = ids[..., 0] if ids.ndim == 3 else ids
        names = np.array(["", _UNKNOWN_WORD, *self.vocabulary], object)
        return [names[row[row != PADDING]].tolist() for row in ids]

    def oov_rates(self) -> np.ndarray:
        """Returns by id the probability to be taken for an unknown token in training."""
        counts = np.array(self.counts or (), np.float64)
        rates = self.oov_dropout / (self.oov_dropout + counts) if self.oov_dropout else 0.0 * counts
        return np.concatenate([np.zeros(FIRST), rates]).astype(np.float32)

    def __str__(self) -> str:
        return f"TextEncoder({len(self.vocabulary)} tokens, split={self.split!r})"


NUM_CASINGS = len(CASINGS)


@functools.lru_cache(maxsize=8)
def _tables(encoder: TextEncoder) -> tuple[dict[str, int], dict[str, int]]:
    words = {token: number for number, token in enumerate(encoder.vocabulary, FIRST)}
    return words, {letter: number for number, letter in enumerate(encoder.alphabet or (), FIRST)}


def _frequent(counter: collections.Counter[str], least: int) -> list[tuple[str, int]]:
    """The words with their counts, the most frequent first, those of equal count by the alphabet."""
    kept = [(word, count) for word, count in counter.items() if count >= least]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))


def _check_words(field: str, words: Any) -> None:
    if not isinstance(words, tuple) or not all(isinstance(w, str) and w for w in words):
        raise ValueError(f"TextEncoder: {field} must be a sequence of words, none of them empty.")
    if len(set(words)) < len(words):
        twice = next(word for word, count in collections.Counter(words).items() if count > 1)
        raise ValueError(f"TextEncoder: {field} must be distinct; {twice!r} is there twice.")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _input(batch: Any, name: str | None) -> Any:
    if not isinstance(batch, Mapping):
        return batch
    if name is None and len(batch) == 1:
        return next(iter(batch.values()))
    if name not in batch:
        raise ValueError(
            f"TextEncoder: name= must be one of the inputs {', '.join(batch)}; received {name!r}."
        )
    return batch[name]
