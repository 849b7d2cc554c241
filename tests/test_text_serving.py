"""Models of texts and tokens: what they take and what they answer, also without mtlkeras."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import TagEncoder, TextEncoder
from mtlkeras.heads import Classification, CRFTagging, Tagging
from mtlkeras.trunks import BiLSTM

pytestmark = pytest.mark.tensorflow

TEXTS = ["play the new song by Ann", "rain in Rome tomorrow ?", "Rome"]
ENCODER = TextEncoder.from_texts(TEXTS, lowercase=True, casing=True, characters=True)
TAGS = TagEncoder.from_types(["city", "artist"]).tags


@pytest.fixture(scope="module")
def token_model():
    keras.utils.set_random_seed(1)
    heads = {
        "intent": Classification(2, class_names=("music", "weather")),
        "slots": CRFTagging(TAGS, scheme="BIO"),
        "part": Tagging(("NOUN", "VERB")),
    }
    trunk = BiLSTM(units=8, encoder=ENCODER, embedding_units=8)
    return mtlkeras.build_model(keras.Input((None,), dtype="string", name="tokens"), trunk, heads)


@pytest.fixture(scope="module")
def served(token_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "model"
    token_model.export(folder)
    return folder


def test_texts_tokens_and_arrays_of_them_are_the_same_inputs(token_model):
    import tensorflow as tf

    tokens = [ENCODER.tokens(text) for text in TEXTS]
    padded = np.array([row + [""] * (6 - len(row)) for row in tokens])
    expected = token_model.predict(tf.constant(padded), verbose=0)
    for x in (TEXTS, np.array(TEXTS), tokens, padded, padded.astype(object)):
        for task, outputs in token_model.predict(x, verbose=0).items():
            np.testing.assert_allclose(outputs, expected[task], atol=1e-6)


def test_lists_of_tokens_do_not_go_into_a_model_of_texts():
    model = mtlkeras.build_model(
        keras.Input((), dtype="string", name="text"),
        BiLSTM(units=4, encoder=ENCODER),
        {"y": Classification(2)},
    )
    assert model.predict(TEXTS, verbose=0)["y"].shape == (3, 2)
    with pytest.raises(ValueError, match="Input 'text' takes whole texts; received lists of tokens"):
        model.predict([["a", "b"]], verbose=0)


def test_fit_takes_texts(token_model):
    model = keras.models.clone_model(token_model)
    model.compile("sgd")
    logs = model.fit(TEXTS, {"intent": [0, 1, 1]}, verbose=0).history
    assert np.isfinite(logs["intent_loss"][0])


def test_a_process_without_mtlkeras_gets_the_answers_of_predict_labels(token_model, served):
    script = f"""
import json, sys
sys.modules["mtlkeras"] = None
import tensorflow as tf
model = tf.saved_model.load({str(served)!r})
answers = model.serve(tf.constant({TEXTS!r}))
again = model.signatures["serve_text"](text=tf.constant({TEXTS!r}))
for name, value in answers.items():
    tf.debugging.assert_equal(value, again[name])
print(json.dumps({{name: value.numpy().tolist() for name, value in answers.items()}}, default=bytes.decode))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    labels = token_model.predict_labels(TEXTS, verbose=0)
    assert answers["intent"] == list(labels["intent"])
    encoder = TagEncoder(TAGS, "BIO")
    for row, text in enumerate(TEXTS):
        tags = tuple(tag for tag in answers["slots"][row] if tag)
        assert tags == labels["slots"][row] and len(tags) == len(text.split())
        assert tuple(tag for tag in answers["part"][row] if tag) == labels["part"][row]
        spans = zip(*(answers[f"slots_span_{part}"][row] for part in ("type", "start", "end")), strict=True)
        assert [span for span in spans if span[1] >= 0] == encoder.spans(tags)
    assert "part_span_type" not in answers


@pytest.mark.slow
def test_serve_takes_tokens_as_they_were_split(token_model, served):
    import tensorflow as tf

    model = tf.saved_model.load(str(served))
    tokens = tf.constant([["rain in", "Rome", ""]])
    answer = model.serve(tokens)["slots"].numpy()[0].tolist()
    assert tuple(t.decode() for t in answer if t) == token_model.predict_labels(tokens, verbose=0)["slots"][0]
    default = model.signatures["serving_default"](tokens=tokens)
    np.testing.assert_array_equal(default["slots"].numpy()[0], answer)
