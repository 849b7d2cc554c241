"""Exports give the same outputs without any code of ours."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.support import examples, tiny_model

pytestmark = pytest.mark.tensorflow

# TensorFlow's own command line for saved models comes last, in the same process: it starts slowly.
SERVE = """
import contextlib, io, json, sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
plain = lambda t: t.numpy().astype(str).tolist() if t.dtype == tf.string else t.numpy().tolist()
plains = lambda outputs: {k: plain(v) for k, v in outputs.items()}
answers = {name: plains(getattr(loaded, name)(x)) for name in ("serve", "serve_raw")}
signature = loaded.signatures["serving_default"]
answers["signature"] = sorted(signature.structured_outputs)
from tensorflow.python.tools import saved_model_cli
sys.argv = ["saved_model_cli", "run", "--dir", sys.argv[1], "--tag_set", "serve", "--signature_def",
            "serving_default", "--inputs", "inputs=" + sys.argv[2]]
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    saved_model_cli.main()
answers["cli"] = said.getvalue()
answers["mtlkeras"] = any(name.startswith("mtlkeras") for name in sys.modules)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    x, y = examples(7)
    model = tiny_model()
    model.adapt(y)
    model.fit(x, y, verbose=0)
    model.export(folder / "served")
    np.save(folder / "x.npy", x)
    arguments = [sys.executable, "-c", SERVE, str(folder / "served"), str(folder / "x.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, check=True)
    return model, x, json.loads(done.stdout.splitlines()[-1]), folder


def test_process_without_mtlkeras_gives_equal_outputs(served):
    model, x, answers, _ = served
    assert not answers["mtlkeras"]
    outputs = model.predict(x, verbose=0)
    assert set(answers["serve_raw"]) == set(outputs)
    for task, expected in outputs.items():
        np.testing.assert_allclose(answers["serve_raw"][task], expected, atol=1e-6)


def test_serve_gives_decoded_answers(served):
    model, x, answers, _ = served
    labels, outputs = model.predict_labels(x, verbose=0), model.predict(x, verbose=0)
    assert answers["serve"]["kind"] == labels["kind"].tolist()
    assert answers["serve"]["grade"] == labels["grade"].tolist()
    np.testing.assert_allclose(answers["serve"]["size"], outputs["size"], atol=1e-6)
    np.testing.assert_allclose(answers["serve"]["kind_probability"], outputs["kind"].max(-1), atol=1e-6)
    np.testing.assert_array_equal(answers["serve"]["marks"], outputs["marks"] >= 0.5)
    assert answers["signature"] == [
        "grade", "grade_probability", "kind", "kind_probability", "marks", "marks_probability", "size"
    ]  # fmt: skip


def test_batch_is_dynamic(served):
    import tensorflow as tf

    model, x, _, folder = served
    loaded = tf.saved_model.load(str(folder / "served"))
    for count in (1, 3):
        assert loaded.serve(x[:count])["kind"].shape == (count,)


def test_saved_model_cli_runs_it(served):
    _, _, answers, _ = served
    assert "Result for output key kind_probability" in answers["cli"]


@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
def test_litert_writes_a_file_that_runs(tmp_path):
    import tensorflow as tf

    if keras.__version__ < "3.13":
        pytest.skip("Keras writes LiteRT from 3.13 on.")
    x, _ = examples(1)
    model = tiny_model()
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    expected = model.predict(x, verbose=0)
    for task in expected:
        assert any(
            o.shape == expected[task].shape and abs(o - expected[task]).max() < 1e-5 for o in outputs
        ), task


def test_onnx_says_what_it_needs(tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    with pytest.raises(ImportError, match="needs tf2onnx"):
        tiny_model().export(tmp_path / "model.onnx", format="onnx")


def test_several_named_inputs_keep_their_names(tmp_path):
    import tensorflow as tf

    import mtlkeras

    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    body = keras.Model({"left": left, "right": right}, keras.layers.Concatenate()([left, right]))
    inputs = {"left": (3,), "right": (2,)}
    model = mtlkeras.build_model(inputs, body, {"a": mtlkeras.heads.Regression()})
    model.export(tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    x = {"left": np.ones((4, 3), "float32"), "right": np.ones((4, 2), "float32")}
    np.testing.assert_allclose(loaded.serve(x)["a"], model.predict(x, verbose=0)["a"], atol=1e-6)
    names = set(loaded.signatures["serving_default"].structured_input_signature[1])
    assert names == {"left", "right"}
