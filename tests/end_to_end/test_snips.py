"""The recipe snips as a whole: half precision, and the exported model on all of the test split."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import mtlkeras
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras._app.runs.options import TrainOptions
from mtlkeras._app.runs.train import prepare, train
from mtlkeras.data import TagEncoder

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow, pytest.mark.data]

SERVE = """
import json, sys
sys.modules["mtlkeras"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
texts = json.load(open(sys.argv[2]))
for start in range(0, len(texts), 100):
    answers = model.serve(tf.constant(texts[start : start + 100]))
    for name in ("intent", "slots", "slots_span_type", "slots_span_start", "slots_span_end"):
        answers[name] = answers[name].numpy().tolist()
    for row in range(len(answers["intent"])):
        spans = zip(*(answers[f"slots_span_{part}"][row] for part in ("type", "start", "end")))
        print(json.dumps({
            "intent": answers["intent"][row].decode(),
            "slots": [tag.decode() for tag in answers["slots"][row] if tag],
            "spans": [[kind.decode(), start, end] for kind, start, end in spans if start >= 0],
        }))
"""


@pytest.fixture
def snips(data_dir, monkeypatch):
    if not (data_dir / "snips").is_dir():
        pytest.skip(f"needs the data of recipe snips in {data_dir}")
    monkeypatch.setenv("MTLKERAS_DATA", str(data_dir))
    return Recipe(find_recipe("snips"))


def run_of(recipe, folder, **options):
    options = TrainOptions(**{"verbose": 0, "run_dir": str(folder), "export": False, **options})
    return train(prepare(recipe, options), lambda text: None)


def test_tagging_in_half_precision_is_within_half_a_point_of_float32(snips, tmp_path):
    found = {}
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        test = run_of(snips, tmp_path / policy, dtype_policy=policy).read_json("metrics.json")["test"]
        found[policy] = {name: 100 * test[name] for name in ("intent_accuracy", "slots_f1")}
    print(found)
    for values in found.values():
        for name, value in values.items():
            assert abs(value - found["float32"][name]) <= 0.5, found


def test_the_saved_model_answers_raw_text_as_predict_labels_does(snips, tmp_path):
    run = run_of(snips, tmp_path / "run", epochs=2, export=True)
    texts = []
    for tokens, _ in snips.data("test", 100):
        texts += [" ".join(token.decode() for token in row if token) for row in tokens.numpy()]
    assert len(texts) == 700
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(run.path / "saved_model"), str(tmp_path / "texts.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    model = mtlkeras.load_model(run.path / "model.keras")
    labels = model.predict_labels(texts, verbose=0)
    coder = TagEncoder(model.heads["slots"].tags, "BIO")
    for row, answer in enumerate(answers):
        assert answer["intent"] == labels["intent"][row]
        assert tuple(answer["slots"]) == labels["slots"][row]
        assert [tuple(span) for span in answer["spans"]] == coder.spans(labels["slots"][row])
