"""Linear probes of the stages of a trunk."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression, Segmentation, Tagging
from mtlkeras.sharing import MMoE
from mtlkeras.transfer import Probes, probe
from mtlkeras.trunks import MLP, BiLSTM
from tests.support import TinyStages, TinyTrunk

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2)).astype("float32")
XOR = (X[:, 0] * X[:, 1] > 0).astype(int)


def trained(trunk=None):
    """A network whose second layer alone tells where the signs are the same."""
    heads = {"size": Regression(), "same": Classification(2)}
    model = mtlkeras.build_model((2,), trunk or MLP(depth=2, width=4), heads)
    first = np.array([[1, -1, 1, -1], [1, -1, -1, 1]], "float32")
    model.trunk.get_layer("hidden_1").set_weights([first, np.zeros(4, "float32")])
    # |x1 + x2| - |x1 - x2| has the sign of x1 x2; the first layer's units alone add up to nothing linear.
    second = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [-1, 0, 0, 0], [-1, 0, 0, 0]], "float32")
    model.trunk.get_layer("hidden_2").set_weights([second, np.zeros(4, "float32")])
    return model


@pytest.mark.slow_on_jax
def test_scores_are_those_of_least_squares_and_the_stage_that_knows_is_found(tmp_path):
    """Of a target that is linear in the first layer, with noise: the closed form on the same division."""
    model = trained()
    before = model.get_weights()
    y = (2 * np.abs(X[:, 0] + X[:, 1]) + 0.5 * RNG.normal(size=200)).astype("float32")
    found = probe(model, (X, {"size": y}), "size", epochs=60, batch_size=150, learning_rate=0.1)
    rows = np.random.default_rng(0).permutation(200)
    held_out, train = rows[:50], rows[50:]
    first, second = (np.maximum(x, 0) for x in _layers(model))
    for name, units in (("hidden_1", first), ("hidden_2", second)):
        features = np.hstack([units, np.ones((200, 1))])
        solution, *_ = np.linalg.lstsq(features[train], y[train], rcond=None)
        expected = np.abs(features[held_out] @ solution - y[held_out]).mean()
        assert found.scores[name] == pytest.approx(expected, abs=0.03)
    assert found.best == "hidden_1"
    assert (found.metric, found.direction, found.examples) == ("mae", "down", (150, 50))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert f"| **hidden_1** | {found.scores['hidden_1']:.4f} |" in found.table()
    found.plot(tmp_path / "probes.png")
    assert (tmp_path / "probes.png").stat().st_size > 5000


def _layers(model):
    """The sums of both layers, by NumPy."""
    kernels = [model.trunk.get_layer(f"hidden_{n}").get_weights()[0] for n in (1, 2)]
    return X @ kernels[0], np.maximum(X @ kernels[0], 0) @ kernels[1]


@pytest.mark.eager
def test_same_seed_same_scores_batches_too_and_missing_labels():
    y = np.where(np.arange(200) % 5 == 0, -1, XOR)
    one = probe(trained(), (X, {"same": y}), "same", epochs=2)
    batches = [(X[at : at + 50], {"same": y[at : at + 50]}) for at in range(0, 200, 50)]
    two = probe(trained(), batches, "same", epochs=2)
    assert two.scores == pytest.approx(one.scores, abs=1e-6)


@pytest.mark.eager
def test_sequences_with_masks_of_several_lengths():
    trunk = BiLSTM(units=3, depth=2, vocabulary_size=9, dropout=0.0)
    heads = {"tag": Tagging(("O", "B-x", "I-x"))}
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads)
    batches = []
    for steps in (5, 7):
        ids = RNG.integers(1, 9, (8, steps))
        ids[0, 3:] = 0
        batches.append((ids, {"tag": np.where(ids > 0, (ids > 4).astype(int), -1)}))
    found = probe(model, batches, "tag", epochs=5, learning_rate=0.1)
    assert list(found.scores) == ["embedding", "lstm_1", "lstm_2"]
    assert max(found.scores.values()) > 0.3


@pytest.mark.eager
def test_of_a_keras_model_by_names_of_layers(tmp_path):
    x = keras.Input((2,))
    network = keras.Model(x, keras.layers.Dense(3, name="second")(keras.layers.Dense(5, name="first")(x)))
    model = mtlkeras.build_model((2,), network, {"same": Classification(2)})
    model.save(tmp_path / "model.keras")
    found = probe(tmp_path / "model.keras", (X, XOR), "same", stages=("first", "second"), epochs=1)
    assert list(found.scores) == ["first", "second"]
    with pytest.raises(
        ValueError, match="the trunk is a keras.Model, which has no stages. Name layers of it"
    ):
        probe(model, (X, XOR), "same")


@pytest.mark.eager
def test_what_cannot_be_probed_is_told():
    model = trained()
    pictures = np.zeros((4, 6, 6, 1), "float32")
    for match, arguments in {
        "Unknown task 'sam' in probe. Did you mean 'same'": (model, (X, XOR), "sam"),
        "Unknown stage 'hiden_1' in stages= of probe. Did you": (model, (X, XOR), "same", ("hiden_1",)),
        "needs at least two examples; received 1": (model, (X[:1], XOR[:1]), "same"),
        "none of the 3 examples to learn from has a label": (model, (X[:4], -np.ones(4, int)), "same"),
        "Segmentation reads a": (model, (X, XOR), Segmentation(3)),
    }.items():
        with pytest.raises(ValueError, match=match):
            probe(*arguments)
    bare = mtlkeras.build_model((6, 6, 1), TinyTrunk(), {"a": Regression()})
    with pytest.raises(ValueError, match="probe: TinyTrunk has no stages"):
        probe(bare, (pictures, np.zeros(4)), "a")
    mixed = mtlkeras.build_model((6, 6, 1), TinyStages(), {"a": Regression()}, MMoE(experts=2))
    with pytest.raises(ValueError, match="under MMoE what a stage gives depends on the task"):
        probe(mixed, (pictures, np.zeros(4)), "a")


def test_the_best_goes_the_way_of_the_metric():
    assert Probes("a", "mae", {"one": 2.0, "two": 1.0, "three": np.nan}, "down", (1, 1)).best == "two"
    assert Probes("a", "accuracy", {"one": 0.5, "two": 0.5}, "up", (1, 1)).best == "one"


@pytest.mark.eager
def test_stages_that_the_source_never_trained_are_left_out():
    heads = {"a": Regression(at="conv")}
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), heads)
    found = probe(model, (RNG.normal(size=(8, 6, 6, 1)), np.arange(8.0)), "a", epochs=1)
    assert list(found.scores) == ["conv"]
