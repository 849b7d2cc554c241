"""Heads that read the scores of other tasks."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import CAGrad
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, CRFTagging, MultiLabel, Ordinal, Regression, Segmentation, Tagging
from mtlkeras.sharing import MMoE
from mtlkeras.trunks import MLP, BiLSTM
from tests.support import EAGERLY, TinyTrunk, softmax

pytestmark = pytest.mark.eager


def built(heads, **more):
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), heads, **more)
    model.compile("sgd", run_eagerly=EAGERLY)
    return model


def test_scores_stand_beside_the_features():
    model = built({"b": Classification(3, after=("a", "c")), "a": Regression(2), "c": MultiLabel(2)})
    assert list(model.output) == ["b", "a", "c"]
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    features = keras.ops.convert_to_numpy(model.trunk(x))
    weights = {task: model.get_layer(f"{task}_logits").get_weights() for task in "abc"}
    a, c = (features @ weights[task][0] + weights[task][1] for task in "ac")
    logits = np.concatenate([features, a, c], axis=1) @ weights["b"][0] + weights["b"][1]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict(x, verbose=0)["b"], p, rtol=1e-4, atol=1e-6)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("gradients", [pytest.param(True, marks=pytest.mark.slow), False])
def test_probabilities_are_read_with_gradients_or_without(gradients, tmp_path):
    reads = {"after_reads": "probabilities", "after_gradients": gradients}
    heads = {
        "b": Classification(3, after=("a", "m", "o", "n"), **reads),
        "a": Classification(4),
        "m": MultiLabel(2),
        "o": Ordinal(3),
        "n": Regression(mean=5.0),
    }
    for dependence in (None, TaskChain(("a", "o"))):
        model = built(heads, dependence=dependence)
        x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
        found = model.predict(x, verbose=0)
        features = keras.ops.convert_to_numpy(model.trunk(x))
        # The tables of a chain are zero at the start.
        read = [features, found["a"], found["m"], found["o"], found["n"] - 5.0]
        kernel, bias = model.get_layer("b_logits").get_weights()
        logits = np.concatenate(read, axis=1) @ kernel + bias
        np.testing.assert_allclose(found["b"], softmax(logits), rtol=1e-4, atol=1e-6)
        before = [model.get_layer(f"{task}_logits").get_weights()[0] for task in "amon"]
        trunk = model.trunk.get_weights()[0]
        model.fit(x, {"b": np.arange(5) % 3}, verbose=0)
        for old, task in zip(before, "amon", strict=True):
            changed = np.abs(model.get_layer(f"{task}_logits").get_weights()[0] - old).max()
            assert bool(changed > 0) == gradients
        assert np.abs(model.trunk.get_weights()[0] - trunk).max() > 0
    model.compile("sgd", balancer=CAGrad(at="parameters"), run_eagerly=EAGERLY)
    y = {"b": np.arange(5) % 3, "a": np.arange(5) % 4, "n": np.ones(5)}
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    model.save(tmp_path / "m.keras")
    again = mtlkeras.load_model(tmp_path / "m.keras")
    assert again.heads == heads and keras.models.clone_model(model).heads == heads
    np.testing.assert_allclose(again.predict(x, verbose=0)["b"], model.predict(x, verbose=0)["b"], rtol=1e-5)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("sharing", [pytest.param(None, marks=pytest.mark.slow), MMoE(experts=2)], ids=repr)
def test_a_chain_of_tasks_trains_and_comes_back_from_disk(sharing, tmp_path):
    heads = {
        "first": Classification(3),
        "second": Classification(2, after=("first",), hidden=(4,)),
        "third": Regression(after=("second", "first")),
    }
    model = built(heads, sharing=sharing)
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    y = {"first": np.arange(12) % 3, "second": np.arange(12) % 3 > 1, "third": x[:, 0].copy()}
    y["third"][::4] = np.nan
    before = model.get_layer("first_logits").get_weights()[0]
    model.fit(x, {"third": y["third"]}, verbose=0)
    assert np.abs(model.get_layer("first_logits").get_weights()[0] - before).max() > 0  # By the third's loss.
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.heads == heads
    np.testing.assert_allclose(
        again.predict(x, verbose=0)["third"], model.predict(x, verbose=0)["third"], rtol=1e-5
    )


@pytest.mark.slow_on_jax
def test_steps_and_pixels_read_scores_of_the_whole():
    heads = {
        "kind": Classification(2),
        "tag": CRFTagging(("a", "b"), after=("kind", "part")),
        "part": Tagging(("x", "y", "z")),
    }
    trunk = BiLSTM(units=3, vocabulary_size=9, embedding_units=4, dropout=0.0)
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads)
    assert (
        model.get_layer("tag_logits").kernel.shape[0] == 4 + 2 * 3 + 2 + 3
    )  # The word, its states, both tasks.
    model.compile("sgd", run_eagerly=EAGERLY)
    x = np.array([[3, 4, 5], [6, 7, 0]], "int32")
    y = {"kind": np.array([0, 1]), "tag": np.array([[0, 1, 1], [1, 0, -1]])}
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    dense = {"kind": Classification(2), "pixel": Segmentation(3, width=4, after=("kind",))}
    model = mtlkeras.build_model((6, 6, 1), TinyTrunk(), dense)
    assert model.get_layer("pixel_logits").kernel.shape[0] == 4 + 2


def test_balancers_weigh_at_the_parameters_alone():
    heads = {"a": Classification(2), "b": Classification(2, after=("a",))}
    model = built(heads)
    with pytest.raises(ValueError, match="Use at='parameters'"):
        model.compile("sgd", balancer=CAGrad())
    model.compile("sgd", balancer=CAGrad(at="parameters"), run_eagerly=EAGERLY)
    shared = {v.path for v in model.balancing.shared}
    assert any("a_logits" in path for path in shared)
    assert not any("b_logits" in path for path in shared)
    x, y = np.ones((4, 4), "float32"), np.arange(4) % 2
    assert np.isfinite(model.fit(x, {"a": y, "b": y}, verbose=0).history["loss"]).all()


def test_what_cannot_be_read_is_told():
    with pytest.raises(ValueError, match="Unknown task 'aa' in after= of task 'b'. Did you mean 'a'"):
        built({"a": Regression(), "b": Regression(after=("aa",))})
    with pytest.raises(ValueError, match="in a circle: (a -> b -> a|b -> a -> b)"):
        built({"a": Regression(after=("b",)), "b": Regression(after=("a",))})
    with pytest.raises(ValueError, match="in a circle: a -> a"):
        built({"a": Regression(after=("a",))})
    with pytest.raises(
        ValueError, match="after_reads must be one of 'scores', 'probabilities'.*Did you mean"
    ):
        Classification(2, after_reads="probability")
    trunk = BiLSTM(units=3, vocabulary_size=9, embedding_units=4)
    heads = {"tag": Tagging(("x", "y")), "kind": Classification(2, after=("tag",))}
    with pytest.raises(ValueError, match="of task 'kind': the scores of 'tag', shape"):
        mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads)
