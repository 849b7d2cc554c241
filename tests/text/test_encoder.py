"""TextEncoder: from text to ids and back, the same in Python and in TensorFlow."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import TextEncoder
from mtlkeras.layers import EncodeText
from mtlkeras.text._splitting import CASINGS, casing, split_text

TEXTS = [
    "Play  Ann's new song, now!",
    "",
    "  \tÄrger in Zürich 2024 ",
    "it costs $3.50 (or 4b)...",
    "ЁЖ и ёж\n3-4",
    "中文 字符x",
    "a\x1fb \x1e c",
    "don't—stop",
]
RULES = ["whitespace", "punctuation", "characters", r"[a-z]+|[0-9]+", r"\w+"]


def test_ids_count_from_two_the_most_frequent_first():
    encoder = TextEncoder.from_texts(["b a b", "c b a"])
    assert encoder.vocabulary == ("b", "a", "c") and encoder.counts == (3, 2, 1)
    np.testing.assert_array_equal(encoder.encode(["a b", "x c b"]), [[3, 2, 0], [1, 4, 2]])
    assert encoder.decode(encoder.encode(["a b", "x c b"])) == [["a", "b"], ["[UNK]", "c", "b"]]
    assert TextEncoder.from_texts(["b a b", "c b a"], min_count=2).vocabulary == ("b", "a")
    assert TextEncoder.from_texts(["b a b", "c b a"], max_size=1).vocabulary == ("b",)


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("whitespace", ["Play", "Ann's", "new", "song,", "now!"]),
        ("punctuation", ["Play", "Ann", "'", "s", "new", "song", ",", "now", "!"]),
        (r"[a-z]+", ["lay", "nn", "s", "new", "song", "now"]),
    ],
)
def test_rules_of_splitting(rule, expected):
    assert split_text(TEXTS[0], rule) == expected
    assert split_text("中文", "characters") == ["中", "文"]


def test_casings():
    words = ["", "word", "Word", "WORD", "iPhone", "2024", "4b", "..."]
    assert [casing(w) for w in words] == list(range(len(CASINGS)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_model_gives_the_ids_of_python(rule, lowercase):
    import tensorflow as tf

    encoder = TextEncoder.from_texts(
        TEXTS[:4], split=rule, lowercase=lowercase, casing=True, characters=True, word_length=4
    )
    layer = EncodeText(encoder)
    np.testing.assert_array_equal(layer(tf.constant(TEXTS)), encoder.encode(TEXTS))
    tokens = [encoder.tokens(text) for text in TEXTS]
    longest = max(map(len, tokens))
    padded = [[*row, *[""] * (longest - len(row))] for row in tokens]
    np.testing.assert_array_equal(layer(tf.constant(padded)), encoder.encode(tokens))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.encoder == encoder


def test_too_long_texts_are_an_error_or_are_counted():
    encoder = TextEncoder(("a", "b"), max_length=2)
    with pytest.raises(ValueError, match="text 1 has 3 tokens, and max_length is 2"):
        encoder.encode(["a b", "a b a"])
    with pytest.warns(UserWarning, match="1 of 2 texts were cut to 2 tokens"):
        ids = encoder.replace(truncate=True).encode(["a b", "a b a"])
    np.testing.assert_array_equal(ids, [[2, 3], [2, 3]])


@pytest.mark.tensorflow
def test_too_long_texts_in_a_model():
    import tensorflow as tf

    encoder = TextEncoder(("a", "b"), max_length=2)
    texts = tf.constant(["a b", "b a b"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than max_length=2 tokens"):
        EncodeText(encoder)(texts)
    cut = EncodeText(encoder.replace(truncate=True))
    np.testing.assert_array_equal(cut(texts), [[2, 3], [3, 2]])
    np.testing.assert_array_equal(cut(tf.constant([["", "b", "a", "b"]])), [[0, 3, 2, 0]])


def test_rates_of_unknown_words_are_those_of_the_paper():
    encoder = TextEncoder(("a", "b"), counts=(3, 1), oov_dropout=0.25)
    np.testing.assert_allclose(encoder.oov_rates(), [0, 0, 0.25 / 3.25, 0.25 / 1.25], rtol=1e-6)


def test_encoders_from_data_sets_and_configs():
    data = mtlkeras.data.load({"text": np.array(["b a", "b"], object), "y": np.array([0, 1])}, {"y": "y"})
    encoder = TextEncoder.from_dataset(data)
    assert encoder.vocabulary == ("b", "a")
    assert TextEncoder.from_config(encoder.get_config()) == encoder
    assert eval(repr(encoder), {"TextEncoder": TextEncoder}) == encoder


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TextEncoder(("a", "a")), "vocabulary must be distinct; 'a' is there twice"),
        (
            lambda: TextEncoder(("a",), split="["),
            "'punctuation', 'characters' or a regular",
        ),
        (lambda: TextEncoder(("a",), counts=(1, 2)), "counts must have one entry for each of the 1 tokens"),
        (lambda: TextEncoder(("a",), oov_dropout=0.5), "oov_dropout needs counts"),
        (lambda: TextEncoder(("a",), max_length=0), "max_length must be a whole number of at least 1"),
        (lambda: TextEncoder.from_texts(["", " "]), "there is no token in the texts"),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
