"""Exported models of tasks that depend on each other: the best answers together, and given known ones."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression
from mtlkeras.trunks import MLP

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
HEADS = {
    "a": Classification(3, class_names=("x", "y", "z")),
    "m": MultiLabel(2),
    "o": Ordinal(3),
    "n": Regression(),
}


def build(**fields):
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), HEADS, dependence=TaskChain(**fields))
    for weight in model.weights:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    return model


@pytest.mark.tensorflow
def test_the_endpoints_answer_as_predict_labels_does(tmp_path):
    import tensorflow as tf

    model = build(order=("a", "m", "o"), conditional=True)
    model.export(tmp_path / "saved", joint=True, known=("a", "m"), verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    known = {
        "a": np.array([0, -1, 2, 1, -1], "int32"),
        "m": np.array([[1, -1], [-1, -1], [0, 1], [-1, 0], [-1, -1]], "int32"),
    }
    for endpoint, joint in ((loaded.serve_joint, True), (loaded.serve_known, False)):
        found = endpoint(X, known)
        expected = model.predict_labels(X, joint=joint, known=known, verbose=0)
        assert [name.decode() for name in found["a"].numpy()] == list(expected["a"])
        assert [tuple(np.flatnonzero(row)) for row in found["m"].numpy()] == list(expected["m"])
        assert found["o"].numpy().tolist() == list(expected["o"])
        np.testing.assert_allclose(found["n"], expected["n"], rtol=1e-5)
        assert ("a_probability" in found) is not joint
        assert len(endpoint(X[:0], {t: y[:0] for t, y in known.items()})["a"]) == 0


def test_what_an_export_cannot_have_is_told(tmp_path):
    chained, path = build(order=("a", "o")), tmp_path / "saved"
    plain = mtlkeras.build_model((4,), MLP(depth=1, width=5), HEADS)
    for model, arguments, message in [
        (plain, {"joint": True}, "built without dependence="),
        (chained, {"known": ("n",)}, "Unknown task 'n' in known= of export"),
        (chained, {"known": "a"}, "tuple of tasks"),
        (chained, {"joint": True, "format": "onnx"}, "received the format onnx"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.export(path, **arguments)
    assert not path.exists() and isinstance(chained, keras.Model)
