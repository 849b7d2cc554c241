"""The words of texts as a model sees them: their names, and texts without one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlkeras._keras_private import all_layers
from mtlkeras._model.text_inputs import text_encoder
from mtlkeras.text.encoder import FIRST, PADDING, UNKNOWN, TextEncoder

_MARKS = ("[CLS]", "[SEP]", "[MASK]")


def encoder_of(model: Any) -> TextEncoder | None:
    """Returns the encoder within a model or within the spec of its trunk, if there is one."""
    specs = [getattr(layer, "trunk", None) for layer in all_layers(model, include_self=False)]
    within = [getattr(spec, "encoder", None) for spec in specs]
    return text_encoder(model) or next((encoder for encoder in within if encoder is not None), None)


def words_of(ids: np.ndarray, encoder: TextEncoder | None, texts: list[list[str]] | None) -> list[list[str]]:
    """Returns the words at each step, `""` where there is none.

    Args:
        ids: Ids of the tokens, `(examples, steps)` or `(examples, steps, columns)`.
        encoder: Their encoder, if it is known.
        texts: The tokens of each example as they stood there, if they are known.
    """
    ids = ids[..., 0] if ids.ndim == 3 else ids
    found = []
    for place, row in enumerate(ids):
        written = iter(texts[place] if texts is not None else ())
        found.append([_word(int(number), encoder, written) for number in row])
    return found


def _word(number: int, encoder: TextEncoder | None, written: Any) -> str:
    if number == PADDING:
        return ""
    if encoder is None:
        return str(number)
    if number >= encoder.size:
        mark = number - encoder.size
        return _MARKS[mark] if mark < len(_MARKS) else str(number)
    known = "[UNK]" if number == UNKNOWN else encoder.vocabulary[number - FIRST]
    return next(written, known)


def tokens_of(values: np.ndarray, encoder: TextEncoder | None) -> list[list[str]] | None:
    """Returns the tokens of an input of texts or tokens; `None` of one of ids."""
    if values.dtype != object:
        return None
    if values.ndim > 1:
        return [[_text(token) for token in row if _text(token)] for row in values]
    return None if encoder is None else [encoder.tokens(text) for text in values]


def without(values: np.ndarray, step: int, encoder: TextEncoder | None) -> np.ndarray:
    """Returns an input of texts, tokens or ids with the unknown token at a step, where there is one.

    In a text the word is left out if what takes its place would be split, or read, as something else.
    """
    found = values.copy()
    if values.dtype != object:
        there = (values[..., 0] if values.ndim == 3 else values)[:, step] != PADDING
        found[there, step] = 0
        first = (there, step, 0) if values.ndim == 3 else (there, step)
        found[first] = UNKNOWN
        return found
    for place, text in enumerate(values):
        if values.ndim > 1:
            found[place, step] = _stranger(encoder) if _text(text[step]) else ""
        else:
            assert encoder is not None
            found[place] = _text_without(_text(text), step, encoder)
    return found


def _text_without(text: str, step: int, encoder: TextEncoder) -> str:
    tokens = encoder.tokens(text)
    if step >= len(tokens):
        return text
    start = 0
    for token in tokens[:step]:
        start = text.index(token, start) + len(token)
    start = text.index(tokens[step], start)
    end = start + len(tokens[step])
    stranger = _stranger(encoder)
    for written in (stranger, f" {stranger} "):  # A comma may stand right behind a word.
        replaced = text[:start] + written + text[end:]
        if encoder.tokens(replaced) == [*tokens[:step], stranger, *tokens[step + 1 :]]:
            return replaced
    return text[:start] + text[end:]


def _stranger(encoder: TextEncoder | None) -> str:
    """Returns a word that an encoder does not know, and that most rules take for one token."""
    if encoder is not None and encoder.split == "characters":
        return "\ufffd"
    word = "zqxzq"
    while encoder is not None and word in encoder.vocabulary:
        word += "x"
    return word


def _text(token: Any) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token)
