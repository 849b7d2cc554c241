"""Calibration and confusion against their definitions and scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import sklearn.metrics
from sklearn.calibration import calibration_curve

import mtlkeras
from mtlkeras.analysis import calibration, calibration_by_task, confusion, confusion_by_task
from mtlkeras.heads import Classification, CRFTagging, Segmentation
from tests.support import examples, softmax, tiny_model

pytestmark = pytest.mark.eager
RNG = np.random.default_rng(0)
P = softmax(2 * RNG.normal(size=(500, 4)))
LABELS = np.array([RNG.choice(4, p=p) for p in softmax(np.log(P) / 2)])
X, Y = examples(30, missing=0.3)


def ece_by_loop(confidence, right, edges):
    """Guo et al. 2017, eq. 3, bin by bin."""
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (c == low == edges[0])]
        if inside:
            total += abs(np.mean(right[inside]) - np.mean(confidence[inside])) * len(inside) / len(right)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_of_classes_is_that_of_the_definition(bins):
    found = calibration(P, LABELS, bins)
    right = P.argmax(1) == LABELS
    assert found.ece == pytest.approx(ece_by_loop(P.max(1), right, np.linspace(0, 1, bins + 1)))
    assert found.counts.sum() == 500 and len(found.frame()["answers"]) == bins
    accuracy, confidence = calibration_curve(right, P.max(1), n_bins=bins)
    there = found.counts > 0
    np.testing.assert_allclose(found.accuracy[there], accuracy)
    np.testing.assert_allclose(found.confidence[there], confidence)
    assert found.mce == pytest.approx(np.max(np.abs(accuracy - confidence)))


def test_bins_of_equal_counts():
    found = calibration(P, LABELS, 10, adaptive=True)
    np.testing.assert_array_equal(found.counts, 50)
    parts = np.array_split(np.argsort(P.max(1)), 10)
    right = P.argmax(1) == LABELS
    gaps = [abs(right[part].mean() - P.max(1)[part].mean()) for part in parts]
    assert found.ece == pytest.approx(np.mean(gaps))
    alike = calibration(np.tile([0.75, 0.25], (8, 1)), [0] * 6 + [1] * 2, 5, adaptive=True)
    assert alike.ece == pytest.approx(0.0) and alike.counts.tolist() == [8]


def test_yes_or_no_compares_the_share_of_yes():
    chance = RNG.random((200, 3))
    yes = (RNG.random((200, 3)) < chance**2).astype(float)
    yes[::5, 1] = np.nan
    known = ~np.isnan(yes)
    found = calibration(chance, yes, 10)
    assert found.ece == pytest.approx(ece_by_loop(chance[known], yes[known] == 1, np.linspace(0, 1, 11)))


def test_known_miscalibration():
    always = np.tile([0.9, 0.1], (10, 1))
    assert calibration(always, [0] * 9 + [1]).ece == pytest.approx(0.0)
    assert calibration(always, [0] * 5 + [1] * 5).ece == pytest.approx(0.4)
    assert calibration(np.eye(2)[[0, 1, 1]], [0, 1, 1]).ece == 0.0
    assert calibration([0.0, 0.0], [0, 1]).ece == 0.5
    assert calibration(always.astype("float16"), [0] * 9 + [1]).ece < 1e-3
    assert calibration(always, [-1, *[0] * 8, 1]).counts.sum() == 9
    assert calibration([1 + 2e-6, 1.0], [1, 1]).ece == 0.0  # As marginals of float32 over many steps are.


def test_confusion_is_scikit_learns():
    said = P.argmax(1)
    found = confusion(said, np.where(np.arange(500) % 7 == 0, -1, LABELS), ("a", "b", "c", "d"))
    known = np.arange(500) % 7 != 0
    np.testing.assert_array_equal(found.counts, sklearn.metrics.confusion_matrix(LABELS[known], said[known]))
    scores = sklearn.metrics.precision_recall_fscore_support(LABELS[known], said[known])
    for expected, name in zip(scores, ("precision", "recall", "f1", "labels"), strict=True):
        np.testing.assert_allclose(found.frame()[name], expected)
    assert found.accuracy == pytest.approx(np.mean(LABELS[known] == said[known]))


def test_classes_that_were_never_there_have_no_scores():
    found = confusion([0, 0, 1], [0, 1, 1], 4)
    np.testing.assert_array_equal(found.precision, [0.5, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(found.f1, [2 / 3, 2 / 3, np.nan, np.nan])


def test_every_task_of_a_model_with_classes():
    model = tiny_model(compiled=False)
    outputs = model.predict(X, verbose=0)
    found = calibration_by_task(model, X, Y, bins=5)
    assert list(found) == ["kind", "marks", "grade"]
    assert found["kind"].ece == pytest.approx(calibration(outputs["kind"], Y["kind"], 5).ece)
    assert found["marks"].ece == pytest.approx(calibration(outputs["marks"], Y["marks"], 5).ece)
    tables = confusion_by_task(model, X, Y)
    assert list(tables) == ["kind", "marks/red", "marks/blue", "grade"]
    assert tables["kind"].names == ("ant", "bee", "cat") and tables["marks/red"].names == ("no", "yes")
    blue = Y["marks"][:, 1]
    expected = sklearn.metrics.confusion_matrix(blue[blue >= 0], outputs["marks"][blue >= 0, 1] >= 0.5)
    np.testing.assert_array_equal(tables["marks/blue"].counts, expected)
    # The answer of ordered classes is the median, not the likeliest.
    grade = Y["grade"]
    assert tables["grade"].labels.sum() == (grade >= 0).sum() == found["grade"].counts.sum()
    median = (np.cumsum(outputs["grade"], 1) < 0.5 - 1e-6).sum(1)
    assert tables["grade"].accuracy == pytest.approx(np.mean((median == grade)[grade >= 0]))
    sure = np.take_along_axis(outputs["grade"], median[:, None], 1)[grade >= 0, 0]
    edges = np.linspace(0, 1, 6)
    assert found["grade"].ece == pytest.approx(
        ece_by_loop(sure, (median == grade)[grade >= 0], edges), abs=1e-5
    )


def test_rows_as_labels_and_labels_that_are_no_class():
    model = tiny_model({"kind": Classification(3)}, compiled=False)
    rows = np.eye(3, dtype="float32")[np.maximum(Y["kind"], 0)]
    rows[Y["kind"] < 0] = np.nan
    one, two = (calibration_by_task(model, X, {"kind": y})["kind"] for y in (rows, Y["kind"]))
    assert one.ece == two.ece
    unseen = np.full(30, -(2**31))
    found = calibration_by_task(model, X, {"kind": unseen})["kind"]
    assert found.counts.sum() == 30 and np.nansum(found.accuracy) == 0
    with pytest.raises(ValueError, match="'kind' has no label"):
        confusion_by_task(model, X, {"kind": unseen})


@pytest.mark.slow_on_jax
def test_tags_count_one_by_one_and_padding_does_not():
    trunk = mtlkeras.trunks.LSTM(units=4, depth=1, embedding_units=4, vocabulary_size=9)
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), trunk, {"t": CRFTagging(("x", "y", "z"))}
    )
    tokens = np.array([[3, 4, 5, 0], [2, 1, 0, 0], [4, 4, 4, 4]])
    tags = np.where(tokens > 0, tokens % 3, -1)
    tags[2, 1] = -1
    found = calibration_by_task(model, tokens, {"t": tags})["t"]
    table = confusion_by_task(model, tokens, {"t": tags})["t"]
    assert found.counts.sum() == table.counts.sum() == 8
    said = model.predict_labels(tokens, verbose=0)["t"]
    pairs = [
        pair for row, answers in zip(tags, said, strict=True) for pair in zip(row, answers, strict=False)
    ]
    right = [table.names[tag] == answer for tag, answer in pairs if tag >= 0]
    assert table.accuracy == pytest.approx(np.mean(right))
    assert np.nansum(found.accuracy * found.counts) == pytest.approx(np.sum(right))


def test_pixels_and_masks_count_one_by_one():
    heads = {"s": Segmentation(3, taps=("conv",)), "m": Segmentation(2, exclusive=False, taps=("conv",))}
    model = tiny_model(heads, compiled=False)
    y = {"s": RNG.integers(-1, 3, (30, 6, 6)), "m": RNG.integers(-1, 2, (30, 6, 6, 2))}
    outputs = model.predict(X, verbose=0)
    found, tables = calibration_by_task(model, X, y), confusion_by_task(model, X, y)
    assert found["s"].ece == pytest.approx(calibration(outputs["s"], y["s"]).ece)
    assert found["m"].ece == pytest.approx(calibration(outputs["m"], y["m"]).ece)
    assert list(tables) == ["s", "m/0", "m/1"]
    assert tables["m/1"].counts.sum() == (y["m"][..., 1] >= 0).sum()


def test_pictures_name_what_they_show(tmp_path):
    above, below = calibration(P, LABELS).plot(tmp_path / "reliability.svg").axes
    assert above.get_title(loc="left").startswith("Reliability: ECE 0.") and above.get_ylabel() == "accuracy"
    assert (below.get_xlabel(), below.get_ylabel()) == ("confidence", "answers")
    (axis,) = confusion(P.argmax(1), LABELS, "abcd").plot(tmp_path / "confusion.png").axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("answer", "label")
    assert not confusion(np.arange(50), np.arange(50), 50).plot().axes[0].texts


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (lambda: calibration(P, LABELS[:9]), r"\(500, 4\) need labels of shape \(500,\), or for yes/no"),
        (lambda: calibration(P, LABELS + 1), "labels must be -1, NaN or the classes 0 to 3"),
        (lambda: calibration(3 * P, LABELS), "probabilities must be from 0 to 1"),
        (lambda: calibration(P, np.full(500, -1)), "there is no label"),
        (lambda: calibration(P, LABELS, 0), "bins must be a whole number of at least 1"),
        (lambda: calibration(np.where(P > 0.5, np.nan, P), LABELS), "from 0 to 1"),
        (lambda: confusion([0, 2], [0, 1], 2), "answers must be the classes 0 to 1; received 2"),
        (lambda: confusion([0, 1], [0, 0.5], 2), "labels must be the classes 0 to 1; received 0.5"),
        (lambda: confusion([0], [0, 1], 2), "answers have shape"),
        (lambda: confusion([0], [-1], 2), "no label"),
        (
            lambda: calibration_by_task(tiny_model(compiled=False), X, {"size": Y["size"]}),
            "no task with labels has classes",
        ),
        (
            lambda: calibration_by_task(tiny_model(compiled=False), X, {"kinds": Y["kind"]}),
            "Did you mean 'kind'",
        ),
        (
            lambda: confusion_by_task(tiny_model(compiled=False), X, {"kind": Y["kind"][:4]}),
            "4 labels for 30 examples",
        ),
        (
            lambda: calibration_by_task(
                tiny_model({"k": Classification(2)}, compiled=False), X, {"k": [-1] * 30}
            ),
            "calibration of task 'k': there is no label",
        ),
    ],
)
def test_bad_arguments_are_refused(case, said):
    with pytest.raises(ValueError, match=said):
        case()
