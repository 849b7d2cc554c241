"""Pooling, masks, characters, vectors and attention, against plain NumPy."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import TextEncoder
from mtlkeras.layers import (
    AttentionPooling,
    CharacterBiLSTM,
    CharacterCNN,
    LastState,
    MaskedMax,
    MaskedMaxPooling1D,
    MaskedMean,
    MaskSteps,
    SelfAttention,
    WordVectors,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 7, 4)).astype("float32")
MASK = RNG.random((5, 7)) < 0.6
MASK[0], MASK[1] = False, True


def rows():
    return [np.flatnonzero(row) for row in MASK]


def of_each(reduce):
    """What a function makes of the steps of each sequence, zeros where there is none."""
    pairs = zip(X, rows(), strict=True)
    return [reduce(x[there]) if len(there) else np.zeros(4) for x, there in pairs]


@pytest.mark.parametrize("layer, reduce", [(MaskedMax, np.max), (MaskedMean, np.mean)])
def test_pooling_over_the_steps_that_are_there(layer, reduce):
    expected = [
        reduce(x[there], axis=0) if len(there) else np.zeros(4) for x, there in zip(X, rows(), strict=True)
    ]
    np.testing.assert_allclose(layer()(X, mask=MASK), expected, atol=1e-6)
    np.testing.assert_allclose(layer()(X), reduce(X, axis=1), atol=1e-6)


def test_last_state_of_both_directions():
    expected = [
        [*x[there[-1], :2], *x[there[0], 2:]] if len(there) else np.zeros(4)
        for x, there in zip(X, rows(), strict=True)
    ]
    np.testing.assert_allclose(LastState(bidirectional=True)(X, mask=MASK), expected, atol=1e-6)
    np.testing.assert_allclose(LastState()(X, mask=MASK), of_each(lambda x: x[-1]), atol=1e-6)


def test_attention_pooling_is_the_formula():
    layer = AttentionPooling(units=3)
    weights = np.asarray(layer.attention_weights(X, mask=MASK))
    hidden, scoring = (np.asarray(w) for w in layer.get_weights())
    for x, there, row, pooled in zip(X, rows(), weights, np.asarray(layer(X, mask=MASK)), strict=True):
        scores = np.tanh(x[there] @ hidden) @ scoring
        expected = np.exp(scores) / np.exp(scores).sum() if len(there) else scores
        np.testing.assert_allclose(row[there], expected, atol=1e-6)
        assert not np.delete(row, there).any()
        np.testing.assert_allclose(pooled, expected @ x[there], atol=1e-6)


def test_attention_to_a_single_step_is_whole_and_gives_no_warning():
    layer = AttentionPooling()
    np.testing.assert_array_equal(layer.attention_weights(X[:, :1]), 1.0)
    there = np.arange(len(X))[:, None] % 2 == 0
    np.testing.assert_array_equal(layer.attention_weights(X[:, :1], mask=there), there)


def test_what_is_masked_is_not_seen_even_if_it_is_not_finite():
    x = X.copy()
    x[~MASK] = np.nan
    for layer in (MaskedMax(), MaskedMean(), AttentionPooling(), MaskSteps()):
        assert np.isfinite(np.asarray(layer(x, mask=MASK))).all(), layer


@pytest.mark.parametrize("time", [1, 2, 3, 6, 7])
def test_max_pooling_begins_at_the_first_step_whatever_the_length(time):
    x, mask = X[:, :time], MASK[:, :time]
    pooled, there = (np.asarray(t) for t in MaskedMaxPooling1D(3, 2)([x, mask]))
    assert pooled.shape == (5, -(-time // 2), 4)
    for row in range(5):
        for place in range(pooled.shape[1]):
            window = [t for t in range(2 * place, min(2 * place + 3, time)) if mask[row, t]]
            assert there[row, place] == bool(window)
            expected = x[row, window].max(0) if window else np.zeros(4)
            np.testing.assert_allclose(pooled[row, place], expected)


@pytest.mark.parametrize("first", [False, True])
def test_self_attention_is_the_formula(first):
    layer = SelfAttention(heads=2, normalize_first=first)

    def normed(values):
        return (values - values.mean(-1, keepdims=True)) / np.sqrt(values.var(-1, keepdims=True) + 1e-3)

    weights = np.asarray(layer.attention_weights(X, mask=MASK))
    outputs = np.asarray(layer(X, mask=MASK))
    q, qb, k, kb, v, vb, o, ob = (np.asarray(w) for w in layer.attention.get_weights())
    for row, there in enumerate(rows()):
        if not len(there):
            continue
        x = normed(X[row]) if first else X[row]
        heads = [np.einsum("tf,fhd->htd", x, w) + b[:, None] for w, b in ((q, qb), (k, kb), (v, vb))]
        scores = np.einsum("htd,hsd->hts", heads[0], heads[1]) / np.sqrt(2)
        scores = np.where(MASK[row], scores, -1e9)
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        np.testing.assert_allclose(weights[row], chances, atol=1e-5)
        new = X[row] + np.einsum("hts,hsd,hdf->tf", chances, heads[2], o) + ob
        np.testing.assert_allclose(outputs[row], new if first else normed(new), atol=1e-4)
    with pytest.raises(ValueError, match="multiple of heads; received 4 and 3"):
        SelfAttention(heads=3)(X)


def test_character_filters_see_no_padding():
    layer = CharacterCNN(vocabulary_size=10, units=6, embedding_units=3)
    ids = np.array([[[3, 4, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]])
    longer = np.pad(ids, ((0, 0), (0, 0), (0, 3)))
    outputs = np.asarray(layer(ids))
    np.testing.assert_allclose(layer(longer), outputs, atol=1e-6)
    assert not outputs[0, 2].any()
    kernel, bias = (np.asarray(w) for w in layer.filters.get_weights())
    letters = np.pad(np.asarray(layer.embedding.get_weights()[0])[[3, 4]], ((1, 1), (0, 0)))
    answers = [np.maximum(np.einsum("lc,lcf->f", letters[i : i + 3], kernel[0]) + bias, 0) for i in range(2)]
    np.testing.assert_allclose(outputs[0, 0], np.max(answers, axis=0), atol=1e-6)


def test_character_lstms_see_no_padding():
    layer = CharacterBiLSTM(vocabulary_size=10, units=6)
    ids = np.array([[[3, 4, 0, 0], [5, 0, 0, 0]]])
    np.testing.assert_allclose(layer(np.pad(ids, ((0, 0), (0, 0), (0, 3)))), layer(ids), atol=1e-6)
    with pytest.raises(ValueError, match="units must be even; received 5"):
        CharacterBiLSTM(10, 5)


LAYERS = {
    "max": MaskedMax(),
    "last": LastState(bidirectional=True),
    "attention_pool": AttentionPooling(units=5),
    "attention": SelfAttention(2, dropout=0.1, kernel_regularizer="l2", normalize_first=True),
    "pool": MaskedMaxPooling1D(4, 3),
    "cnn": CharacterCNN(9, 4, 5),
    "bilstm": CharacterBiLSTM(9, 4, 5),
    "unknown": mtlkeras.layers.UnknownTokens([0.0, 0.5], seed=3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_configs_go_round(name):
    layer = LAYERS[name]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


def test_unknown_tokens_come_at_their_rates_and_in_training_only():
    layer = mtlkeras.layers.UnknownTokens([0.0, 0.0, 0.25, 1.0], seed=0)
    ids = np.tile(np.array([[0, 2, 3]], "int32"), (4000, 1))
    np.testing.assert_array_equal(layer(ids), ids)
    drawn = np.asarray(layer(ids, training=True))
    assert (drawn[:, 0] == 0).all() and (drawn[:, 2] == 1).all()
    share = (drawn[:, 1] == 1).mean()
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


ENCODER = TextEncoder(("the", "Cat", "sat"))


def test_vectors_from_a_text_file(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("3 2\nthe 1 2\ncat 3 4\ndog 5 6\n")
    values = np.asarray(WordVectors(str(path), ENCODER)((5, 2)))
    np.testing.assert_allclose(values[2:4], [[1, 2], [3, 4]])  # "Cat" takes what "cat" has.
    assert np.abs(values[[0, 1, 4]]).max() < 10
    np.testing.assert_array_equal(values, WordVectors(str(path), ENCODER)((5, 2)))


def test_vectors_from_an_array_stay_when_the_file_is_gone(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, np.arange(6.0).reshape(3, 2))
    trunk = mtlkeras.trunks.LSTM(
        units=4, encoder=ENCODER, embedding_units=2, vectors=str(path), train_embeddings=False
    )
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), trunk, {"y": mtlkeras.heads.Regression()}
    )
    layer = model.trunk.get_layer("token_embedding")
    np.testing.assert_allclose(layer.get_weights()[0][2:], np.arange(6.0).reshape(3, 2))
    assert not layer.trainable
    model.save(tmp_path / "model.keras")
    path.unlink()
    again = mtlkeras.load_model(tmp_path / "model.keras").trunk.get_layer("token_embedding")
    np.testing.assert_array_equal(again.get_weights()[0], layer.get_weights()[0])
