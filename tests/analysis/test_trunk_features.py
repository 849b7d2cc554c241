"""Features of trunks at their taps: what the models themselves give, compared and scored."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras import trunks
from mtlkeras.analysis import Transferability, cka, h_score, logme, representation_similarity, transferability
from mtlkeras.analysis._trunk_features import Places
from mtlkeras.heads import Classification, MultiLabel, Regression, Tagging
from tests.support import TinyStages, TinyTrunk, examples

pytestmark = pytest.mark.eager
X, Y = examples(24)
TOKENS = np.array([[3, 4, 0, 0], [5, 3, 2, 1], [2, 0, 0, 0], [1, 2, 3, 0], [4, 4, 1, 2]])


def build(trunk=None, heads=None, inputs=(6, 6, 1), **kwargs):
    return mtlkeras.build_model(inputs, trunk or TinyStages(), heads or {"a": Regression()}, **kwargs)


@pytest.mark.parametrize(
    ("trunk", "inputs", "x"),
    [
        (TinyStages(), (6, 6, 1), X),
        (TinyTrunk(), (6, 6, 1), X),
        (trunks.MLP(depth=2, width=4), (4,), X[:, :4, 0, 0]),
        (trunks.BERT(width=4, depth=1, heads=1, vocabulary_size=9), keras.Input((4,), dtype="int32"), TOKENS),
        (trunks.DPCNN(width=4, vocabulary_size=9), keras.Input((None,), dtype="int32"), TOKENS),
    ],
    ids=lambda value: getattr(type(value), "__name__", "") if isinstance(value, trunks.Trunk) else "",
)
def test_features_at_taps_are_those_that_heads_read_there(trunk, inputs, x):
    plain = build(trunk, inputs=inputs)
    places = Places(plain, "test")
    found = places.features(x, places.names)
    assert places.names[-1] == "end" and len(places.names) > 1
    for tap in places.names[:-1]:
        reading = build(trunk, {"a": Regression(at=tap)}, inputs)
        mtlkeras.transfer.copy_weights(plain, reading)
        np.testing.assert_allclose(found[tap], reading.trunk(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["end"], plain.trunk(x), rtol=1e-4, atol=1e-5)


def test_a_loaded_model_has_the_same_places(tmp_path):
    model = build(trunks.ResNet(depth=8, width=2, normalization="group"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert Places(loaded, "test").names == ["stem", "stage_1", "stage_2", "stage_3", "end"]
    found = [Places(m, "test").features(X[:3], ["stage_2"])["stage_2"] for m in (model, loaded)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_taps_that_no_head_needs_are_left_out_and_layers_go_by_their_names():
    model = build(heads={"a": Regression(at="conv")})
    assert Places(model, "test").names == ["conv", "end"]
    bare = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, name="d")])
    places = Places(build(bare), "test")
    assert places.names == ["end"] and places.features(X, ["d"])["d"].shape == (24, 3)


def test_looking_leaves_no_trace():
    model = build(trunks.MLP(depth=1, width=4, dropout=0.5), inputs=(4,))
    before = [w.copy() for w in model.get_weights()]
    x = X[:, :4, 0, 0]
    first, again = (Places(model, "test").features(x, ["end"])["end"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_equal(model.get_weights(), before)


def test_similarity_is_the_cka_of_features_at_each_place():
    x = X[:, :4, 0, 0]
    a, b = (build(trunks.MLP(depth=2, width=5), inputs=(4,)) for _ in "ab")
    found = representation_similarity({"a": a, "b": b, "same": a}, x)
    assert list(found) == ["hidden_1", "hidden_2", "end"]
    features = [Places(model, "test").features(x, ["hidden_1"])["hidden_1"] for model in (a, b)]
    assert found["hidden_1"]["a", "b"] == pytest.approx(cka(*features, debiased=True))
    assert all(matrix["a", "same"] == pytest.approx(1.0) for matrix in found.values())
    one = representation_similarity({"a": a, "b": b}, x, at="hidden_1", debiased=False, batch_size=5)
    assert list(one) == ["hidden_1"] and one["hidden_1"].title.endswith("hidden_1")
    assert one["hidden_1"]["a", "b"] == pytest.approx(cka(*features), abs=1e-5)


def test_scores_of_places_are_those_of_their_features():
    model = build()
    labels = np.where(np.arange(24) % 5 == 0, -1, Y["kind"])
    found = transferability(model, X, labels, Classification(3))
    features = Places(model, "test").features(X, found.places)
    assert found.examples == 19 and found.places == ("conv", "last", "end")
    for place, told, score in zip(*found.frame().values(), strict=True):
        constant = np.concatenate([features[place], np.ones((24, 1))], 1)
        assert told == pytest.approx(logme(constant, labels))
        assert score == pytest.approx(h_score(features[place], labels))
    assert found.best == max(zip(found.logme, found.places, strict=True))[1]


def test_numbers_in_any_unit_and_several_labels():
    model = build()
    size = transferability(model, X, Y["size"], Regression(2), at="end")
    again = transferability(model, X, 1e4 * Y["size"] + 7, Regression(2), at=["end"])
    assert size.logme == pytest.approx(again.logme, rel=1e-3) and np.isnan(size.h_score[0])
    marks = transferability(model, X, Y["marks"], MultiLabel(2), at="end")
    alone = [transferability(model, X, Y["marks"][:, i], Classification(2), at="end") for i in (0, 1)]
    assert marks.logme[0] == pytest.approx(np.mean([one.logme[0] for one in alone]))
    assert marks.h_score[0] == pytest.approx(np.mean([one.h_score[0] for one in alone]))


def test_a_trunk_that_knows_the_task_suits_it_better_than_one_that_does_not():
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
    kind = (x[:, 0] > 0).astype(int)
    knows, other = (
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, use_bias=False)]) for _ in "ab"
    )
    for trunk, rows in ((knows, [0, 1]), (other, [4, 5])):
        trunk.set_weights([np.eye(6)[:, rows]])
    scores = [
        transferability(keras.Model(t.inputs[0], t.outputs[0]), x, kind, Classification(2))
        for t in (knows, other)
    ]
    assert scores[0].logme[0] > scores[1].logme[0] + 0.2
    assert scores[0].h_score[0] > 0.5 > 0.1 > scores[1].h_score[0]


def test_pictures_name_what_they_show(tmp_path):
    scores = Transferability(("conv", "end"), (-1.0, -0.5), (0.2, 0.3), 24)
    figure = scores.plot(tmp_path / "t.svg")
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "LogME of 24 examples",
        "H-score of 24 examples",
    ]
    numbers = Transferability(("conv", "end"), (-1.0, -0.5), (np.nan, np.nan), 24)
    assert len(numbers.plot().axes) == 1


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (lambda m: representation_similarity({"a": m}, X), "at least two models"),
        (
            lambda m: representation_similarity({"a": m, "b": m}, X, at="lst"),
            "Unknown place 'lst' .*Did you mean 'last'",
        ),
        (lambda m: representation_similarity({"a": m, "b": m}, 0 * X), "model 'a': expected finite features"),
        (lambda m: representation_similarity({"a": m, "b": m}, X[:2]), "at least 4 examples"),
        (lambda m: transferability(m, X, Y["kind"][:3], Classification(3)), "24 examples and 3 labels"),
        (lambda m: transferability(m, X, Y["kind"] * 0, Classification(3)), "at least two values"),
        (lambda m: transferability(m, X, Y["kind"] + 5, Classification(3)), "outside the classes"),
        (
            lambda m: transferability(m, X, np.ones((24, 3), int), Tagging(("O", "x"))),
            "Tagging has labels of steps",
        ),
    ],
)
def test_bad_arguments_are_refused(case, said):
    with pytest.raises(ValueError, match=said):
        case(build())
