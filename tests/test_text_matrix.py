"""Every text trunk with every head that fits it: build, fit, overfit, save, load, export."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import TextEncoder
from mtlkeras.heads import CRFTagging, HMMTagging, Tagging
from mtlkeras.trunks import BERT, DPCNN, LSTM, BiLSTM, CNNAttention
from tests.support import all_heads, examples
from tests.test_matrix import check_learns_and_travels

# A graph takes longer to trace than all of a test's steps take without one.
pytestmark = pytest.mark.eager

WORDS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")
TAGS = ("O", "B-animal", "I-animal")
COUNT, TIME = 8, 6
FIELDS = {"embedding_units": 16, "dropout": 0.0}
TRUNKS = {
    "lstm": LSTM(units=24, vocabulary_size=20, **FIELDS),
    "bilstm": BiLSTM(units=16, depth=2, vocabulary_size=20, **FIELDS),
    "cnn_attention": CNNAttention(width=32, depth=2, vocabulary_size=20, **FIELDS),
    "bert": BERT(depth=2, width=32, heads=2, max_length=20, dropout=0.0, vocabulary_size=20),
    "dpcnn": DPCNN(width=32, depth=3, vocabulary_size=20, **FIELDS),
}


def slow_but(*quick):
    """The trunks, of which those named are quick enough for every run of the tests."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in TRUNKS]


def heads_for(trunk, tasks=()):
    """A head of each kind, or those of `tasks`."""
    at = None if "sequence" in trunk.gives else "block_1"
    kinds = {"tag": Tagging, "slot": CRFTagging, "word": HMMTagging}
    heads = {**all_heads(), **{task: kind(TAGS, scheme="BIO", at=at) for task, kind in kinds.items()}}
    return {task: heads[task] for task in tasks or heads}


def labels_for(ids):
    _, y = examples(len(ids))
    tags = np.where(ids == 0, mtlkeras.MISSING, ids % len(TAGS))
    return {**y, **dict.fromkeys(("tag", "slot", "word"), tags)}


def sentences(seed=0):
    """Ids of sentences of 0 to 6 tokens, padded with 0."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 20, (COUNT, TIME)).astype("int32")
    return np.where(np.arange(TIME) < np.array([6, 5, 4, 3, 2, 1, 6, 0])[:, None], ids, 0).astype("int32")


@pytest.mark.slow
@pytest.mark.eager(False)
@pytest.mark.parametrize("name", TRUNKS)
def test_text_trunk_with_every_head(name, tmp_path):
    check_text_trunk(TRUNKS[name], (), tmp_path)


@pytest.mark.eager(False)
@pytest.mark.slow  # In parts below, in trunks/test_bert.py and heads/test_sequence_heads.py.
@pytest.mark.parametrize("name", TRUNKS)
def test_text_trunk_with_a_label_and_tags(name, tmp_path):
    check_text_trunk(TRUNKS[name], ("kind", "tag"), tmp_path)


def check_text_trunk(trunk, tasks, tmp_path):
    x = sentences()
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads_for(trunk, tasks))
    model.compile(keras.optimizers.Adam(1e-2))
    y = {task: labels for task, labels in labels_for(x).items() if task in model.heads}
    first = model.fit(x, y, batch_size=COUNT, verbose=0).history
    last = model.fit(x, y, batch_size=COUNT, epochs=40, verbose=0, shuffle=False).history
    assert model.trunk.get_layer("features").trunk == trunk
    check_learns_and_travels(model, x, first, last, tmp_path)


@pytest.mark.parametrize("name", slow_but("bilstm", "dpcnn"))
def test_padding_changes_nothing(name):
    trunk, x = TRUNKS[name], sentences()
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads_for(trunk))
    outputs = model.predict(x, verbose=0)
    longer = model.predict(np.pad(x, ((0, 0), (0, 5))), verbose=0)
    for task in outputs:
        there = longer[task][:, :TIME] if task in ("tag", "slot", "word") else longer[task]
        np.testing.assert_allclose(there, outputs[task], atol=2e-6, err_msg=task)
    for row in np.flatnonzero(x.any(1)):  # Alone, without any padding.
        alone = model.predict(x[row : row + 1, : (x[row] > 0).sum()], verbose=0)
        np.testing.assert_allclose(alone["size"][0], outputs["size"][row], atol=2e-6)


@pytest.mark.parametrize("name", sorted(set(TRUNKS) - {"dpcnn"}))
def test_padding_before_and_within_changes_nothing(name):
    """DPCNN's pools have windows of fixed places, so that its padding belongs at the end."""
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), TRUNKS[name], {"size": mtlkeras.heads.Regression()}
    )
    x = np.array([[0, 0, 3, 4, 5, 6]], "int32")
    np.testing.assert_allclose(
        model.predict(x, verbose=0)["size"], model.predict(x[:, 2:], verbose=0)["size"], atol=2e-6
    )


@pytest.mark.slow  # Of taggers and a CRF in heads/test_sequence_heads.py.
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", slow_but("bilstm"))
def test_mixed_precision_has_finite_losses(name, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        trunk, x = TRUNKS[name], sentences()
        model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads_for(trunk))
        model.compile(keras.optimizers.Adam(1e-3))
        history = model.fit(x, labels_for(x), epochs=2, batch_size=4, verbose=0).history
    finally:
        keras.config.set_dtype_policy(before)
    assert all(np.isfinite(v).all() for k, v in history.items() if k.endswith("loss"))
    assert all(v.dtype == np.float32 for v in model.predict(x, verbose=0).values())


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["cnn", pytest.param("bilstm", marks=pytest.mark.slow)])
def test_strings_casings_and_characters(kind, tmp_path):
    encoder = TextEncoder.from_tokens(
        [WORDS, [w.upper() for w in WORDS]],
        lowercase=True,
        casing=True,
        characters=True,
        oov_dropout=0.25,
    )
    trunk = BiLSTM(units=16, characters=kind, character_units=8, encoder=encoder, **FIELDS)
    heads = heads_for(trunk, ("kind", "tag"))
    model = mtlkeras.build_model(keras.Input((None,), dtype="string"), trunk, heads)
    model.compile(keras.optimizers.Adam(1e-2))
    rng = np.random.default_rng(0)
    tokens = rng.choice(np.array([*WORDS, "Zebra", "7"], object), (COUNT, TIME))
    tokens[2, 3:] = ""
    y = labels_for(np.where(tokens == "", 0, 1 + np.char.str_len(tokens.astype(str))))
    model.fit(tokens, {task: y[task] for task in heads}, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    as_ids = mtlkeras.build_model(keras.Input((None, encoder.columns), dtype="int32"), trunk, heads)
    as_ids.set_weights(model.get_weights())
    outputs = model.predict(tokens, verbose=0)
    for task, expected in outputs.items():
        np.testing.assert_allclose(again.predict(tokens, verbose=0)[task], expected, atol=1e-6)
        np.testing.assert_allclose(
            as_ids.predict(encoder.encode(tokens), verbose=0)[task], expected, atol=1e-6
        )
