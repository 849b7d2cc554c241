"""Every sharing scheme over every kind of trunk; all pairs in full with `-m slow`."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import CAGrad, Uncertainty
from mtlkeras.heads import Classification, Regression, Tagging
from mtlkeras.sharing import Branching, SoftSharing
from mtlkeras.trunks import BERT, DPCNN, MLP, VGG, BiLSTM, CNNAttention, GoogLeNet, ResNet
from tests.sharing.schemes import SCHEMES, marks_of
from tests.support import EAGERLY

WORDS = {"vocabulary_size": 12, "dropout": 0.0}
EMBEDDED = {**WORDS, "embedding_units": 4}
# A trunk, the shape of its input (`None` for ids) and a tap that a head can sit at.
TRUNKS = {
    "ResNet": (ResNet(depth=8, width=4), (9, 9, 1), "stage_2"),
    "VGG": (VGG(depth=11, width=4, fc_units=6), (32, 32, 1), "block_3"),
    "GoogLeNet": (GoogLeNet(width=8), (16, 16, 1), "inception_4a"),
    "BiLSTM": (BiLSTM(units=3, **EMBEDDED), None, "embedding"),
    "DPCNN": (DPCNN(width=4, depth=3, **EMBEDDED), None, "block_1"),
    "CNNAttention": (CNNAttention(width=4, depth=1, heads=2, **EMBEDDED), None, "conv_1"),
    "BERT": (BERT(depth=2, width=4, heads=2, max_length=16, **WORDS), None, "block_1"),
    "MLP": (MLP(depth=2, width=6), (4,), "hidden_1"),
}
# The others cost a second each, for what they add.
MARKS = {name: [pytest.mark.slow] for name in TRUNKS} | {"MLP": []}
# What is said where a scheme cannot work over a trunk, by the names of both.
REFUSED: dict[tuple[str, str], str] = {}
PAIRS = [
    pytest.param(scheme, name, marks=MARKS[name] + marks_of(scheme), id=f"{scheme!r}-{name}")
    for scheme in SCHEMES
    for name in TRUNKS
]
TAGS = ("O", "B-x", "I-x")


def built(scheme, name, **compile_args):
    trunk, shape, tap = TRUNKS[name]
    if isinstance(scheme, Branching):
        scheme = scheme.replace(at=tap)
    heads = {"a": Classification(3), "mask": Regression(at=tap), "end": Regression()}
    if shape is None:
        heads["tag"] = Tagging(TAGS, at=tap)
    inputs = keras.Input((None,), dtype="int32") if shape is None else shape
    model = mtlkeras.build_model(inputs, trunk, heads, sharing=scheme)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=EAGERLY, **compile_args)
    return model


def examples(name):
    """Four examples with labels missing by example, and none of a task."""
    shape, rng = TRUNKS[name][1], np.random.default_rng(0)
    x = rng.normal(size=(4, *(shape or ()))).astype("float32")
    if shape is None:
        x = np.array([[3, 4, 5, 6, 7], [3, 4, 0, 0, 0], [8, 0, 0, 0, 0], [5, 5, 5, 5, 0]], "int32")
    y = {"a": np.array([0, -1, 2, 1]), "mask": np.array([1.0, 2.0, np.nan, 0.0])}
    if shape is None:
        y["tag"] = np.where(x > 0, x % 3, -1)
    return x, y


def outputs(model, x):
    return {task: keras.ops.convert_to_numpy(value) for task, value in model(x).items()}


def assert_same(found, expected, **tolerances):
    assert found.keys() == expected.keys()
    for task, value in expected.items():
        np.testing.assert_allclose(found[task], value, err_msg=task, **tolerances)


@pytest.mark.eager
@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_it_is_built_or_says_why_not(scheme, name):
    refused = REFUSED.get((type(scheme).__name__, name))
    if refused:
        with pytest.raises(ValueError, match=refused):
            built(scheme, name)
        return
    x, _ = examples(name)
    for task, value in outputs(built(scheme, name), x[:2]).items():
        assert np.isfinite(value).all(), task


def accepted(scheme, name):
    if (type(scheme).__name__, name) in REFUSED:
        pytest.skip("refused")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_it_trains_and_goes_to_disk_and_back(scheme, name, tmp_path):
    accepted(scheme, name)
    x, y = examples(name)
    shares = not isinstance(scheme, SoftSharing) and not getattr(scheme, "frozen", False)
    model = built(scheme, name, balancer=CAGrad(at="parameters") if shares else Uncertainty())
    logs = model.fit(x, y, batch_size=2, verbose=0, shuffle=False).history  # Two steps.
    assert np.isfinite(logs["loss"]).all()
    assert "end_loss" not in logs or not np.isfinite(logs["end_loss"]).all() or logs["end_loss"] == [0.0]
    expected = outputs(model, x)
    assert all(np.isfinite(value).all() for value in expected.values())
    model.save(tmp_path / "model.keras")
    assert_same(outputs(mtlkeras.load_model(tmp_path / "model.keras"), x), expected, rtol=1e-5, atol=1e-6)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights()[: len(clone.weights)])
    assert_same(outputs(clone, x), expected, rtol=1e-5, atol=1e-6)
    if TRUNKS[name][1] is None:  # What is behind the end of a text changes nothing.
        wide = outputs(model, np.pad(x, ((0, 0), (0, 3))))
        tags = wide.pop("tag")[:, : x.shape[1]] * (x > 0)[..., None]
        expected["tag"] = expected["tag"] * (x > 0)[..., None]
        assert_same({**wide, "tag": tags}, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_it_is_exported(scheme, name, tmp_path):
    import tensorflow as tf

    accepted(scheme, name)
    model = built(scheme, name)
    model.export(tmp_path / "saved", verbose=False)
    x, _ = examples(name)
    loaded = tf.saved_model.load(tmp_path / "saved")
    served = loaded.serve_raw(x)
    found = {task: served[task].numpy() for task in model.heads}
    assert_same(found, outputs(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_it_trains_in_half_precision(scheme, name):
    accepted(scheme, name)
    keras.config.set_dtype_policy("mixed_bfloat16")
    x, y = examples(name)
    model = built(scheme, name)
    assert np.isfinite(model.fit(x, y, batch_size=2, verbose=0).history["loss"]).all()
    assert {str(value.dtype) for value in outputs(model, x).values()} == {"float32"}
