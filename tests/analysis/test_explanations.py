"""Integrated gradients against closed forms and completeness; occlusion against brute force."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.analysis import integrated_gradients, occlusion
from mtlkeras.data import TextEncoder
from mtlkeras.heads import Classification, CRFTagging, MultiLabel, Ordinal, Regression, Segmentation, Tagging
from mtlkeras.layers import EncodeText
from mtlkeras.sharing import CrossStitch
from mtlkeras.trunks import BERT, LSTM, MLP
from tests.support import all_heads, tiny_model

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
PIXELS = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 1)).astype("uint8")
IDS = np.array([[3, 4, 5, 0, 0], [2, 1, 2, 8, 7]])


def numpy_of(variable):
    return keras.ops.convert_to_numpy(variable)


def linear_model(**heads):
    inputs = keras.Input((4,), name="x")
    trunk = keras.Model(inputs, keras.layers.Dense(3, name="base")(inputs))
    return mtlkeras.build_model(keras.Input((4,), name="x"), trunk, heads)


def weights_of(model, task):
    """The product of the two linear layers, `(numbers, scores)`."""
    kernels = [model.trunk.get_layer("base").kernel, model.get_layer(f"{task}_logits").kernel]
    return numpy_of(kernels[0]) @ numpy_of(kernels[1])


def text_model(trunk, **heads):
    return mtlkeras.build_model(keras.Input((None,), dtype="int32", name="text"), trunk, heads)


def convolution(encoder=None, shape=(None,)):
    """A trunk that gives a sequence at little cost, of ids or with an encoder of texts."""
    inputs = keras.Input(shape, dtype="int32" if encoder is None else "string", name="text")
    ids = inputs if encoder is None else EncodeText(encoder)(inputs)
    x = keras.layers.Embedding(9, 4)(ids)
    return keras.Model(inputs, keras.layers.Conv1D(4, 3, padding="same", activation="tanh")(x))


@pytest.fixture(scope="module")
def seeing():
    """A model of pictures with a head of each kind, and two for every pixel."""
    heads = {
        f"{e}": Segmentation(3, exclusive=e, taps=("conv",), class_names=tuple("abc")) for e in (True, False)
    }
    return tiny_model({**all_heads(), **heads}, run_eagerly=True)


@pytest.fixture(scope="module")
def table():
    return table_model()


def table_model(**arguments):
    inputs = {
        "age": keras.Input((1,), name="age"),
        "work": keras.Input((), dtype="int32", name="work"),
        "ok": keras.Input((), dtype="bool", name="ok"),
        "v": keras.Input((2,), name="v"),
    }
    trunk = MLP(depth=1, width=8, activation="tanh", categories={"work": 4}, mean={"age": 40.0})
    heads = {"kind": Classification(3, class_names=("ant", "bee", "cat")), "grade": Ordinal(4)}
    return mtlkeras.build_model(inputs, trunk, heads, **arguments)


TABLE = {
    "age": np.array([[41.0], [39.5]]),
    "work": np.array([1, 3]),
    "ok": np.array([True, False]),
    "v": np.array([[0.3, -1.0], [2.0, 0.5]]),
}


def score_of(model, x, task, index):
    """The logit of a class or label, or the number, by the model's own layers."""
    outputs, behind = model.scored(x, training=False)
    found = outputs[task] if model.heads[task].label_form.are_numbers else behind[task]
    return numpy_of(found)[:, index]


@pytest.mark.parametrize("baseline", [None, 0.5, np.arange(4.0)], ids=["zero", "half", "each"])
def test_of_a_linear_model_they_are_weights_times_the_change(baseline):
    model = linear_model(a=Classification(3), b=MultiLabel(2))
    start = 0.0 if baseline is None else baseline
    found = integrated_gradients(model, X, "a", target=[0, 1, 2], baseline=baseline, steps=1)
    expected = weights_of(model, "a").T * (X - start)
    np.testing.assert_allclose(found.attributions["x"], expected, atol=1e-6)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-6)
    # Each number alone adds as much.
    alone = occlusion(model, X, "a", target=[0, 1, 2], baseline=baseline)
    np.testing.assert_allclose(alone.attributions["x"], expected, atol=1e-5)


def test_numbers_are_in_label_units():
    model = linear_model(r=Regression(2, mean=5.0, scale=3.0))
    found = integrated_gradients(model, X, target=1, steps=2)
    np.testing.assert_allclose(found.attributions["x"], 3.0 * weights_of(model, "r")[:, 1] * X, atol=1e-5)
    np.testing.assert_allclose(found.scores, model.predict(X, verbose=0)["r"][:, 1], rtol=1e-5)
    np.testing.assert_allclose(found.baseline_scores, 5.0, rtol=1e-6)


@pytest.mark.slow_on_jax
def test_of_a_product_they_are_the_integral():
    inputs = keras.Input((2,), name="x")
    trunk = keras.Model(inputs, inputs[:, :1] ** 2 * inputs[:, 1:])
    model = mtlkeras.build_model(keras.Input((2,), name="x"), trunk, {"y": Regression()})
    weight = numpy_of(model.get_layer("y_logits").kernel)[0, 0]
    (one,) = integrated_gradients(model, [[2.0, 3.0]], steps=2).attributions["x"]  # Exact for a cubic.
    np.testing.assert_allclose(one, weight * np.array([8.0, 4.0]), rtol=1e-5)  # 2/3 and 1/3 of x²y.


@pytest.mark.parametrize("task", list(all_heads()))
def test_they_add_up_for_every_head(seeing, task):
    found = integrated_gradients(seeing, PIXELS / 255, task)
    assert found.task == task and len(found.targets) == 2
    np.testing.assert_allclose(found.gap, 0.0, atol=2e-5)
    assert np.abs(found.scores - found.baseline_scores).max() > 1e-3


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("task", ["True", "False"])
def test_an_answer_for_every_pixel_is_the_mean_over_them(seeing, task):
    found = integrated_gradients(seeing, PIXELS / 255, task, target="b")
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    expected = score_of(seeing, PIXELS / 255, task, ...)[..., 1].mean((1, 2))
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-6)
    assert found.targets == ("score of 'b', mean over the pixels",) * 2


@pytest.mark.slow_on_jax
def test_the_default_is_what_the_model_answers(seeing):
    said, outputs = seeing.predict_labels(PIXELS / 255, verbose=0), seeing.predict(PIXELS / 255, verbose=0)
    said["marks"] = np.array(["red", "blue"])[outputs["marks"].argmax(-1)]
    for task in ("True", "False"):
        shares = (
            outputs[task].mean((1, 2))
            if task == "False"
            else np.eye(3)[outputs[task].argmax(-1)].mean((1, 2))
        )
        said[task] = np.array(["a", "b", "c"])[shares.argmax(-1)]
    for task in ("kind", "grade", "marks", "True", "False"):
        targets = occlusion(seeing, PIXELS / 255, task, size=6).targets
        assert [target.split("'")[1] for target in targets] == said[task].tolist()


def test_pixels_that_the_model_scales_itself():
    found = integrated_gradients(_scaling_model(), PIXELS, steps=16)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    assert found.attributions["image"].shape == PIXELS.shape


def _scaling_model():
    inputs = keras.Input((6, 6, 1), dtype="uint8", name="image")
    x = keras.layers.Conv2D(2, 3, activation="tanh")(keras.layers.Rescaling(1 / 255)(inputs))
    trunk = keras.Model(inputs, keras.layers.Flatten()(x))
    return mtlkeras.build_model(
        keras.Input((6, 6, 1), dtype="uint8", name="image"), trunk, {"k": Classification(2)}
    )


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 4)])
def test_patches_against_brute_force(size, stride):
    model = _scaling_model()
    found = occlusion(model, PIXELS, target=1, size=size, stride=stride, baseline=9, batch_size=5)
    sums, counts = np.zeros((2, 6, 6)), np.zeros((6, 6))
    for top in range(0, 6, stride):
        for left in range(0, 6, stride):
            covered = PIXELS.copy()
            covered[:, top : top + size, left : left + size] = 9
            drop = score_of(model, PIXELS, "k", 1) - score_of(model, covered, "k", 1)
            sums[:, top : top + size, left : left + size] += drop[:, None, None]
            counts[top : top + size, left : left + size] += 1
    np.testing.assert_allclose(found.attributions["image"], sums / counts, atol=1e-5)
    frame = found.frame()
    assert (
        frame["place"][0] == f"0:{size},0:{size}" and len(frame["place"]) == 2 * len(range(0, 6, stride)) ** 2
    )
    assert frame["value"][0] == pytest.approx(PIXELS[0, :size, :size].mean())


def test_a_patch_has_the_median_colour_by_default():
    model = _scaling_model()
    middle = np.median(PIXELS, (1, 2), keepdims=True).astype("uint8")
    expected = occlusion(model, PIXELS, target=0, size=3, baseline=middle)
    found = occlusion(model, PIXELS, target=0, size=3)
    np.testing.assert_array_equal(found.attributions["image"], expected.attributions["image"])


@pytest.mark.slow_on_jax
def test_every_column_of_a_table(table):
    model = table
    found = integrated_gradients(model, TABLE, "kind", target="bee")
    assert set(found.parts) == set(TABLE)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    start = {**TABLE, "age": 40 + 0 * TABLE["age"], "v": 0 * TABLE["v"], "work": np.array([-1, -1])}
    start["ok"] = np.zeros(2, bool)
    np.testing.assert_allclose(found.baseline_scores, score_of(model, start, "kind", 1), atol=1e-5)
    without = occlusion(model, TABLE, "kind", target="bee", baseline={"work": 2})
    whole = score_of(model, TABLE, "kind", 1)
    for name, replaced in {**start, "work": np.array([2, 2])}.items():
        if name != "v":
            drop = whole - score_of(model, {**TABLE, name: replaced}, "kind", 1)
            np.testing.assert_allclose(without.attributions[name].reshape(-1), drop, atol=1e-5)
    frame = found.frame()
    assert sorted(frame["input"][:5]) == ["age", "ok", "v", "v", "work"] and len(frame["input"]) == 10
    assert sorted(frame["place"][:5]) == ["", "", "", "0", "1"]


@pytest.mark.slow_on_jax
def test_every_lane_of_a_sharing_scheme_counts():
    model = table_model(sharing=CrossStitch())
    found = integrated_gradients(model, TABLE, "grade")
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    assert set(found.parts) == set(TABLE)


@pytest.mark.parametrize(
    "trunk",
    [
        LSTM(units=4, depth=1, embedding_units=4, vocabulary_size=9),
        BERT(depth=1, width=8, heads=2, vocabulary_size=9, max_length=12),
    ],
    ids=["LSTM", "BERT"],
)
@pytest.mark.slow_on_jax
def test_words_are_taken_away_in_their_embeddings(trunk):
    model = text_model(trunk, y=Classification(3))
    found = integrated_gradients(model, IDS, steps=6)
    part = found.parts["text"]
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    marks = 2 if isinstance(trunk, BERT) else 0
    assert part.values.shape == part.attributions.shape == (2, 5 + marks)
    padding = np.isin(part.values, ["", "9", "10"])
    assert (part.attributions[padding] == 0).all() and (part.attributions[~padding] != 0).any()
    # As if the rows of the words were zero.
    layer = next(x for x in model.trunk.layers if x.name == "token_embedding")
    rows = numpy_of(layer.embeddings)
    layer.embeddings.assign(np.where(np.arange(len(rows))[:, None] < 9, 0.0, rows))
    index = list(found.indices)
    emptied = score_of(model, IDS, "y", ...)[np.arange(2), index]
    np.testing.assert_allclose(found.baseline_scores, emptied, atol=1e-5)


def test_words_without_their_neighbours_against_brute_force():
    model = text_model(convolution(), t=Tagging(("x", "y")))
    found = occlusion(model, IDS, target="y", at=1)
    for step in range(5):
        other = IDS.copy()
        other[:, step] = np.where(other[:, step] > 0, 1, 0)
        drop = score_of(model, IDS, "t", ...)[:, 1, 1] - score_of(model, other, "t", ...)[:, 1, 1]
        np.testing.assert_allclose(found.attributions["text"][:, step], drop, atol=1e-6)
    assert found.targets == ("score of 'y', step 1",) * 2


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(), (None,)], ids=["texts", "tokens"])
def test_texts_show_their_words(shape):
    encoder = TextEncoder.from_texts(["play some jazz", "a song"], split="punctuation", lowercase=True)
    inputs = keras.Input(shape, dtype="string", name="text")
    model = mtlkeras.build_model(inputs, convolution(encoder, shape), {"t": CRFTagging(("x", "y"))})
    model.run_eagerly = True
    texts = ["Play, some zonk", "a"]
    found = integrated_gradients(model, texts, target="y", at=0, steps=8)
    assert found.parts["text"].values.tolist() == [["Play", ",", "some", "zonk"], ["a", "", "", ""]]
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)
    assert {name for name, _, _ in found.top(2)} <= {f"text[{i}]" for i in range(4)}
    assert len(found.frame()["value"]) == 5
    without = occlusion(model, texts, target="y", at=0)
    assert without.parts["text"].values.tolist() == found.parts["text"].values.tolist()
    scores = model.predict(
        ["Play, some zonk", "zqxzq", "zqxzq, some zonk", "Play zqxzq some zonk"], verbose=0
    )
    one, last, first, second = scores["t"][:, 0, 1]
    expected = [one - first, one - second]
    np.testing.assert_allclose(without.attributions["text"][0, :2], expected, atol=1e-6)
    np.testing.assert_allclose(without.attributions["text"][1, 0], without.scores[1] - last, atol=1e-6)


@pytest.mark.slow_on_jax
def test_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = text_model(convolution(), t=Tagging(("x", "y")))
        found = integrated_gradients(model, IDS, at=2)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(found.gap, 0.0, atol=0.02)


@pytest.mark.slow_on_jax
def test_what_is_missing_adds_nothing():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    trunk = mtlkeras.trunks.SharedProjection(4, MLP(depth=1, width=4))
    model = mtlkeras.build_model(inputs, trunk, {"y": Regression()})
    x = {"a": np.array([[1.0, 2.0], [np.nan, np.nan]]), "b": np.ones((2, 2))}
    for explain in (integrated_gradients, occlusion):
        found = explain(model, x).attributions["a"]
        assert (found[1] == 0).all() and np.isfinite(found).all()


@pytest.mark.parametrize("explain", [integrated_gradients, occlusion])
def test_nan_that_is_not_taken_for_missing_is_told(explain):
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((1,), name="b")}
    model = mtlkeras.build_model(inputs, MLP(depth=1, width=4), {"y": Regression()})
    x = {"a": np.ones((3, 3)), "b": np.ones((3, 1))}
    whole = explain(model, x)
    assert np.isfinite(whole.scores).all()
    for name, place, value, told in (
        ("a", (1, 2), np.nan, "input 'a' of x holds NaN in example 1 at [2], which the model does not take"),
        ("a", (2, slice(1, 3)), np.inf, "input 'a' of x holds infinity in example 2 at [1], [2]."),
        ("b", (2, 0), np.nan, "input 'b' of x holds NaN in example 2, which the model"),
    ):
        wrong = {key: array.copy() for key, array in x.items()}
        wrong[name][place] = value
        with pytest.raises(ValueError, match=re.escape(f"{explain.__name__}: {told}")):
            explain(model, wrong)
    with pytest.raises(ValueError, match=r"baseline= of input 'b' holds NaN|no number, though its score is"):
        explain(model, x, baseline={"b": np.nan})
    model.trainable_variables[0].assign(np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="though its inputs are finite: do weights of the model hold NaN"):
        explain(model, x)


@pytest.mark.slow_on_jax
def test_pictures_of_an_explanation(table, seeing, tmp_path):
    axes = occlusion(seeing, PIXELS / 255, "kind").plot(example=1).axes
    assert [axis.get_xlabel() for axis in axes[:2]] == ["column (pixels)"] * 2
    (bars,) = integrated_gradients(table, TABLE, "kind").plot(tmp_path / "two.svg").axes
    assert "age = 41" in [label.get_text() for label in bars.get_yticklabels()]
    assert "<svg" in (tmp_path / "two.svg").read_text()


@pytest.mark.slow
def test_a_saved_model_explains_the_same(table, tmp_path):
    table.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    one, other = (integrated_gradients(m, TABLE, "grade", steps=4) for m in (table, loaded))
    for name, values in one.attributions.items():
        np.testing.assert_allclose(other.attributions[name], values, atol=1e-6)


class Mixing(keras.layers.Layer):
    """Embeds words and mixes them at once."""

    def build(self, shape):
        self.table = keras.layers.Embedding(9, 5)

    def call(self, ids):
        return keras.ops.mean(self.table(ids), axis=1)


def test_without_an_embedding_only_occlusion_can_tell():
    inputs = keras.Input((None,), dtype="int32")
    model = text_model(keras.Model(inputs, Mixing(name="mixing")(inputs)), y=Classification(2))
    with pytest.raises(ValueError, match=r"the layer 'mixing' \(Mixing\).*occlusion needs no gradients"):
        integrated_gradients(model, IDS)
    assert occlusion(model, IDS).attributions["text"].shape == (2, 5)
