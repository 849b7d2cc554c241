"""BERT against the equations in plain NumPy, its number of weights, and its limits."""

import math

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import MaskedToken, NextSentence
from mtlkeras.trunks import BERT

SMALL = BERT(depth=2, width=12, heads=3, max_length=16, dropout=0.0, vocabulary_size=20)


def pair_model():
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("first", "second")}
    return mtlkeras.build_model(
        inputs, SMALL, {"masked_token": MaskedToken(20), "next_sentence": NextSentence()}
    )


@pytest.mark.tensorflow  # As for all counts: nothing here depends on the backend.
@pytest.mark.slow
def test_bert_base_has_the_weights_of_the_papers_own():
    """109,482,240 with 30,522 word pieces, of which the trunk counts three marks itself.

    Devlin et al. 2019 say 110M; the number is that of the released BERT-base, uncased.
    """
    with keras.device("cpu"):
        inputs = keras.Input((None,), dtype="int32")
        model = keras.Model(inputs, BERT(vocabulary_size=30_519)(inputs).vector)
    assert model.count_params() == 109_482_240


def norm(x, layer):
    gamma, beta = layer.get_weights()
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gamma + beta


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def encoder_of_the_paper(trunk, ids, segments):
    """The features of one sequence of ids, marks included, from a trunk's weights."""
    layer = trunk.get_layer
    tables = [layer(f"{n}_embedding").get_weights()[0] for n in ("token", "position", "segment")]
    x = norm(tables[0][ids] + tables[1][: len(ids)] + tables[2][segments], layer("embedding_norm"))
    for number in (1, 2):
        attention = layer(f"block_{number}_attention")
        q, qb, k, kb, v, vb, o, ob = attention.attention.get_weights()
        query, key, value = (
            np.einsum("tf,fhd->htd", x, w) + b[:, None] for w, b in ((q, qb), (k, kb), (v, vb))
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        x = norm(x + np.einsum("htd,hdf->tf", chances @ value, o) + ob, attention.norm)
        (w1, b1), (w2, b2) = (layer(f"block_{number}_{part}").get_weights() for part in ("hidden", "output"))
        x = norm(x + gelu(x @ w1 + b1) @ w2 + b2, layer(f"block_{number}_norm"))
    return x


@pytest.mark.slow_on_jax
def test_it_is_the_network_of_the_paper():
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("first", "second")}
    features = SMALL(inputs)
    trunk = keras.Model(
        inputs, {"vector": features.vector, "sequence": features.sequence, "mask": features.mask}
    )
    for weight in trunk.weights:  # Larger ones than training begins with, and none that is zero.
        weight.assign(np.random.default_rng(len(weight.path)).normal(0.1, 0.4, weight.shape))
    first, second = [5, 6, 7], [8, 9]
    ids = np.array([SMALL.start_id, *first, SMALL.end_id, *second, SMALL.end_id])
    expected = encoder_of_the_paper(trunk, ids, np.array([0] * 5 + [1] * 3))
    # Padded at the end of one, and before the other.
    x = {"first": np.array([[*first, 0, 0]]), "second": np.array([[0, *second]])}
    found = {name: np.asarray(value)[0] for name, value in trunk(x).items()}
    np.testing.assert_array_equal(found["mask"], [1, 1, 1, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(found["sequence"][found["mask"]], expected[[1, 2, 3, 5, 6]], atol=2e-5)
    kernel, bias = trunk.get_layer("pooler").get_weights()
    np.testing.assert_allclose(found["vector"], np.tanh(expected[0] @ kernel + bias), atol=2e-5)


@pytest.mark.slow  # In short in docs/pretraining.md.
def test_pre_training_learns_both_tasks():
    keras.utils.set_random_seed(0)
    model = pair_model()
    rng = np.random.default_rng(0)
    # The second sentence repeats the first, or not; so hidden words can be found in the other.
    first = rng.integers(2, 12, (64, 4)).astype("int32")
    label = np.arange(64) % 2
    second = np.where(label[:, None] == 0, first, first + 8).astype("int32")
    targets = np.full((64, 8), mtlkeras.MISSING)
    targets[:, 1] = first[:, 1]
    x = {"first": first.copy(), "second": second}
    x["first"][:, 1] = SMALL.mask_id
    model.compile(keras.optimizers.Adam(3e-3))
    logs = model.fit(
        x, {"masked_token": targets, "next_sentence": label}, epochs=60, batch_size=16, verbose=0
    ).history
    assert logs["next_sentence_accuracy"][-1] > 0.95
    assert logs["masked_token_loss"][-1] < 0.5 * logs["masked_token_loss"][0]
    labels = model.predict_labels(x, verbose=0)
    assert set(labels["next_sentence"]) == {"IsNext", "NotNext"} and len(labels["masked_token"][0]) == 8


def test_masked_tokens_loss_is_the_mean_over_the_hidden_ones():
    model = pair_model()
    x = {"first": np.array([[3, 4, 0]]), "second": np.array([[5, 0]])}
    targets = np.array([[mtlkeras.MISSING, 7, mtlkeras.MISSING, 6, mtlkeras.MISSING]])
    model.compile("sgd")
    chances = model.predict(x, verbose=0)["masked_token"]
    logs = model.evaluate(x, {"masked_token": targets}, return_dict=True, verbose=0)
    expected = -np.mean(np.log([chances[0, 1, 7], chances[0, 3, 6]]))
    np.testing.assert_allclose(logs["masked_token_loss"], expected, rtol=1e-5)
    assert not chances[0, 2].any() and not chances[0, 4].any()
    none = model.evaluate(x, {"masked_token": np.full((1, 5), -1)}, return_dict=True, verbose=0)
    assert none["masked_token_loss"] == 0


def test_a_trunk_for_pairs_begins_one_for_single_sentences():
    model = pair_model()
    single = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), SMALL, {"y": mtlkeras.heads.Classification(2)}
    )
    names = mtlkeras.transfer.copy_weights(model, single)
    assert "token_embedding" in names and "pooler" in names
    for name in names:
        for a, b in zip(
            model.trunk.get_layer(name).get_weights(), single.trunk.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="Unknown layer 'poler' in layers= of copy_weights.*'pooler'"):
        mtlkeras.transfer.copy_weights(model, single, layers=["poler"])
    wider = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), SMALL.replace(width=24), {"y": mtlkeras.heads.Classification(2)}
    )
    with pytest.raises(ValueError, match="layer 'token_embedding' has weights of shapes .*12.* and .*24"):
        mtlkeras.transfer.copy_weights(model, wider)


def test_a_text_that_is_too_long_is_an_error():
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), SMALL, {"y": mtlkeras.heads.Classification(2)}
    )
    assert model.predict(np.full((1, 14), 3), verbose=0)["y"].shape == (1, 2)
    with pytest.raises(Exception, match="more than max_length=16 tokens, of which BERT itself takes 2"):
        model.predict(np.full((1, 15), 3), verbose=0)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"width": 10, "heads": 4}, "width must be a multiple of heads; received 10 and 4"),
        ({"intermediate": 0}, "intermediate must be a whole number of at least 1"),
        ({"vocabulary_size": None}, "give either encoder="),
    ],
)
def test_what_does_not_fit_is_told(fields, message):
    with pytest.raises(ValueError, match=message):
        BERT(**{"vocabulary_size": 9, **fields})
