"""TensorFlow: what `mtlkeras.text` does in Python, on tensors of strings in a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtlkeras.text._splitting import CHARACTERS, END, START, pattern_of


def make_table(words: Sequence[str], first: int, unknown: int) -> Any:
    """Returns a table from a word to its id; `""` has the id 0."""
    with tf.init_scope():
        keys = tf.constant(["", *words])
        ids = tf.constant([0, *range(first, first + len(words))], tf.int64)
        return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ids), unknown)


def split_texts(texts: Any, rule: str) -> Any:
    """Returns the tokens of texts `(batch,)` as `(batch, time)`, with `""` at the end."""
    if rule == CHARACTERS:
        return tf.strings.unicode_split(texts, "UTF-8").to_tensor("")
    plain = tf.strings.regex_replace(texts, f"[{START}{END}]", " ")
    marked = tf.strings.regex_replace(plain, f"({pattern_of(rule)})", f"{END}{START}\\1{END}")
    parts = tf.strings.split(marked, END)
    is_token = tf.strings.regex_full_match(parts.flat_values, f"(?s){START}.+")
    tokens = tf.ragged.boolean_mask(parts, parts.with_flat_values(is_token))
    return tokens.with_flat_values(tf.strings.regex_replace(tokens.flat_values, START, "")).to_tensor("")


def bounded(tokens: Any, length: int, truncate: bool) -> Any:
    """Empties the tokens beyond a length of each row, or fails if there are any.

    Args:
        tokens: Strings `(batch, time)`, where `""` is padding on any side.
        length: Largest number of tokens.
        truncate: Whether longer rows are cut.
    """
    place = tf.cumsum(tf.cast(tokens != "", tf.int32), axis=1)
    if truncate:
        return tf.where(place > length, "", tokens)
    longest = tf.reduce_max(tf.concat([[0], tf.reshape(place, [-1])], 0))
    text = f"A text has more than max_length={length} tokens; TextEncoder(truncate=True) cuts such texts."
    with tf.control_dependencies([tf.debugging.Assert(longest <= length, [text, longest])]):
        return tf.identity(tokens)


def lower(tokens: Any) -> Any:
    """Returns tokens in lower case."""
    return tf.strings.lower(tokens, encoding="utf-8")


def casings(tokens: Any) -> Any:
    """Returns the ids of the tokens' casings; see `mtlkeras.text._splitting.casing`."""
    lowered, uppered = lower(tokens), tf.strings.upper(tokens, encoding="utf-8")
    rest = tf.strings.regex_replace(tokens, "(?s)^.", "")
    cases = [
        (tokens == "", 0),
        (tf.strings.regex_full_match(tokens, "[0-9]+"), 5),
        (tf.strings.regex_full_match(tokens, "(?s).*[0-9].*"), 6),
        (lowered == uppered, 7),
        (tokens == lowered, 1),
        (rest == tf.strings.regex_replace(lowered, "(?s)^.", ""), 2),
        (tokens == uppered, 3),
    ]
    ids = tf.fill(tf.shape(tokens), 4)
    for holds, number in reversed(cases):
        ids = tf.where(holds, number, ids)
    return ids


def characters(tokens: Any, length: int) -> Any:
    """Returns the first characters of tokens as strings `(batch, time, length)`, `""` after the last."""
    split = tf.strings.unicode_split(tf.reshape(tokens, [-1]), "UTF-8")
    flat = split[:, :length].to_tensor("", shape=(None, length))
    return tf.reshape(flat, tf.concat([tf.shape(tokens), [length]], 0))


def string_tensor(rows: Sequence[Any], width: int | None = None) -> tf.Tensor:
    """Returns strings as a tensor of shape `(rows,)`, or `(rows, width)` for rows of lists."""
    tensor = tf.constant(rows, tf.string)
    return tensor if width is None else tf.reshape(tensor, (len(rows), width))


def add_text_endpoints(archive: Any, serve: Any, signature: Sequence[Any], encoder: Any) -> None:
    """Adds what a model of tokens serves to an `ExportArchive`.

    `serve` takes tokens `(batch, time)`, or texts `(batch,)` that it splits as the encoder does.
    A signature has one shape only, so `serve_text`, for texts, is there for TensorFlow Serving.

    Args:
        archive: The archive.
        serve: Takes tokens and returns the answers.
        signature: That of `serve`.
        encoder: The model's `TextEncoder`.
    """
    name = keras.tree.flatten(signature)[0].name

    def of_text(texts: Any) -> Any:
        tokens = split_texts(texts, encoder.split)
        return serve(keras.tree.map_structure(lambda _: tokens, signature[0]))

    def of_both(inputs: Any) -> Any:
        single = keras.tree.flatten(inputs)[0]
        return of_text(single) if len(single.shape) == 1 else serve(inputs)

    both = tf.function(of_both, autograph=False)
    both.get_concrete_function(
        keras.tree.map_structure(lambda x: tf.TensorSpec((None, None), tf.string, x.name), signature[0])
    )
    both.get_concrete_function(tf.TensorSpec((None,), tf.string, name))
    archive.add_endpoint("serve", both)
    archive.add_endpoint("serve_text", of_text, input_signature=[tf.TensorSpec((None,), tf.string, "text")])


def gather_names(names: tuple[str, ...], indices: Any) -> Any:
    """Returns a string tensor of the names at `indices`; empty at -1."""
    return tf.gather(tf.constant([*names, ""]), tf.where(indices < 0, len(names), tf.cast(indices, tf.int32)))
