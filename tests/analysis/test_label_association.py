"""Association of labels against scikit-learn, SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import normalized_mutual_info_score

import mtlkeras
from mtlkeras.analysis import TaskMatrix, label_association
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression, Segmentation, Tagging
from tests.support import all_heads, examples, tiny_model

RNG = np.random.default_rng(3)
A = RNG.integers(0, 4, 300)
B = np.where(RNG.random(300) < 0.6, A % 3, RNG.integers(0, 3, 300))
X = RNG.normal(size=300).round(1)
Z = X + RNG.normal(size=300) + 2.0 * A
CLASSES = {"a": Classification(4), "b": Classification(3)}
NUMBERS = {"x": Regression(), "z": Regression()}


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_classes_against_scikit_learn_and_scipy(missing):
    a, b = A.copy(), B.astype("float32")
    a[RNG.random(300) < missing], b[RNG.random(300) < missing] = mtlkeras.MISSING, np.nan
    known = (a >= 0) & ~np.isnan(b)
    y = {"a": a, "b": b}
    told = label_association(y, CLASSES)
    assert told["a", "b"] == pytest.approx(normalized_mutual_info_score(a[known], b[known]))
    assert told["b", "a"] == told["a", "b"] and told["a", "a"] == pytest.approx(1.0)
    assert told.examples[0, 1] == known.sum()
    table = scipy.stats.contingency.crosstab(a[known], b[known]).count
    expected = scipy.stats.contingency.association(table, "cramer")
    assert label_association(y, CLASSES, classes="cramers_v")["a", "b"] == pytest.approx(expected)
    assert label_association(y, CLASSES, classes="cramers_v_corrected")["a", "b"] == pytest.approx(
        _bergsma(table)
    )


def _bergsma(table):
    """Bergsma 2013, by chi squared of SciPy."""
    n, (r, c) = table.sum(), table.shape
    phi = max(0, scipy.stats.chi2_contingency(table, False)[0] / n - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return np.sqrt(phi / min(r - 1, c - 1))


def test_numbers_and_classes_with_numbers_against_scipy():
    z = Z.copy()
    z[::7] = np.nan
    known = ~np.isnan(z)
    y, heads = {"x": X, "z": z, "a": A}, {**NUMBERS, "a": CLASSES["a"]}
    found = label_association(y, heads)
    assert found["x", "z"] == pytest.approx(scipy.stats.pearsonr(X[known], z[known])[0], rel=1e-5)
    ranks = label_association(y, heads, numbers="spearman")
    assert ranks["x", "z"] == pytest.approx(scipy.stats.spearmanr(X[known], z[known])[0], rel=1e-5)
    # F = (eta^2 / (K - 1)) / ((1 - eta^2) / (n - K)) of the analysis of variance.
    f = scipy.stats.f_oneway(*(z[known & (A == k)] for k in range(4)))[0]
    n = known.sum()
    assert found["a", "z"] ** 2 == pytest.approx(3 * f / (3 * f + n - 4), rel=1e-5)
    assert found["z", "a"] == found["a", "z"]
    assert found.frame()["measure"] == ["pearson", "correlation_ratio", "correlation_ratio"]


def test_identical_independent_and_opposed_tasks():
    kind = np.repeat([0, 1], 50)
    y = {"same": kind, "again": kind, "opposed": 1 - kind, "other": np.tile([0, 1], 50)}
    heads = {task: Classification(2) for task in y}
    for measure in ("nmi", "cramers_v"):
        found = label_association(y, heads, classes=measure)
        assert found["same", "again"] == found["same", "opposed"] == pytest.approx(1.0)
        assert found["same", "other"] == 0.0
    numbers = label_association({"x": X, "z": -3 * X + 1}, NUMBERS, numbers="spearman")
    assert numbers["x", "z"] == pytest.approx(-1.0)
    assert numbers.limits == (-1.0, 1.0)


def test_columns_of_labels_and_numbers_and_one_number_a_task():
    model = tiny_model(compiled=False)
    _, y = examples(60, missing=0.3)
    found = label_association(y, model)
    assert found.names == ("kind", "size/0", "size/1", "marks/red", "marks/blue", "grade")
    assert found.tasks == ("kind", "size", "size", "marks", "marks", "grade")
    together = found.by_task()
    assert together.names == ("kind", "size", "marks", "grade")
    expected = np.mean([abs(found[f"size/{i}", f"marks/{c}"]) for i in (0, 1) for c in ("red", "blue")])
    assert together["size", "marks"] == pytest.approx(expected)
    assert len(found.frame()["value"]) == 15
    assert label_association({k: y[k] for k in ("kind", "grade")}, all_heads()).names == ("kind", "grade")


def test_rows_of_probabilities_count_by_their_likeliest_class():
    rows = np.eye(4)[A].astype("float32")
    rows[5], rows[6, 1] = mtlkeras.MISSING, np.nan
    found = label_association({"a": rows, "b": B}, CLASSES)
    known = np.delete(np.arange(300), [5, 6])
    assert found.examples[0, 1] == 298
    assert found["a", "b"] == pytest.approx(normalized_mutual_info_score(A[known], B[known]))


def test_tags_go_with_tags_of_the_same_steps_and_with_the_label_of_their_sentence():
    tags = np.array([[0, 1, -1], [1, 1, 0]])
    heads = {"t": Tagging(("x", "y")), "u": Tagging(("x", "y")), "k": Classification(2)}
    found = label_association({"t": tags, "u": np.where(tags < 0, 0, 1 - tags), "k": [0, 1]}, heads)
    assert found["t", "u"] == pytest.approx(1.0) and found.examples[0, 1] == 5
    assert found["t", "k"] == pytest.approx(normalized_mutual_info_score([0, 1, 1, 1, 0], [0, 0, 1, 1, 1]))
    with pytest.raises(ValueError, match="'t' and 'u' are for different places"):
        label_association({"t": tags, "u": tags[:, :2]}, heads)


def test_masks_have_a_column_each_and_pixels_are_places():
    masks = RNG.integers(0, 2, (3, 4, 4, 2))
    heads = {"m": Segmentation(2, class_names=("p", "q"), exclusive=False), "s": Segmentation(2)}
    found = label_association({"m": masks, "s": masks[..., 1]}, heads)
    assert found.names == ("m/p", "m/q", "s")
    assert found["m/q", "s"] == pytest.approx(1.0)
    assert found["m/p", "s"] == pytest.approx(
        normalized_mutual_info_score(masks[..., 0].ravel(), masks[..., 1].ravel())
    )


def test_what_has_nothing_to_measure_is_nan():
    y = {"a": [0, 0, 0, 1], "b": [0, 1, 2, -1]}
    for measure in ("nmi", "cramers_v", "cramers_v_corrected"):
        assert np.isnan(label_association(y, CLASSES, classes=measure)["a", "b"])
    nothing = {"a": [-1, -1, 0], "b": [1, 2, -1], "x": [np.nan] * 3, "z": [1.0, 2.0, 2.0]}
    found = label_association(nothing, {**CLASSES, **NUMBERS})
    assert np.isnan(found["a", "b"]) and np.isnan(found["x", "z"]) and np.isnan(found["a", "x"])
    assert np.isnan(found.by_task()["a", "b"]) and found.by_task()["a", "a"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": "nmu"}, "Unknown measure 'nmu' in classes= .* Did you mean 'nmi'"),
        ({"numbers": "kendall"}, "Unknown measure 'kendall' in numbers="),
        ({"y": {"a": A}}, r"at least two tasks; received \['a'\]"),
        ({"y": {"a": A, "bb": B}}, "Unknown task 'bb'"),
        ({"y": {"a": A + 1, "b": B}}, "outside the classes 0 to 3"),
        ({"heads": [Classification(2)]}, "expected a MultiTaskModel or a dict of heads"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        label_association(**{"y": {"a": A, "b": B}, "heads": CLASSES, **arguments})


def test_picture_and_table(tmp_path):
    found = label_association(
        {"a": A, "b": B, "m": RNG.integers(0, 2, (300, 2))}, {**CLASSES, "m": MultiLabel(2)}
    )
    figure = found.plot(tmp_path / "association.svg")
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "Association of labels" and axis.get_xlabel() == "task"
    assert [text.get_text() for text in axis.get_yticklabels()] == list(found.names)
    assert (tmp_path / "association.svg").stat().st_size > 1000


def test_a_matrix_that_is_not_symmetric_names_its_sides():
    affinity = TaskMatrix(("a", "b"), [[1.0, np.nan], [-2.0, 1.0]], title="affinity")
    assert affinity.frame() == {
        "from": ["a", "b"],
        "to": ["b", "a"],
        "value": [pytest.approx(np.nan, nan_ok=True), -2.0],
    }
    (axis,) = affinity.plot().axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("to task", "from task")
    with pytest.raises(ValueError, match="Unknown task 'c'"):
        affinity["a", "c"]
    with pytest.raises(ValueError, match=r"2 names need values of shape \(2, 2\)"):
        TaskMatrix(("a", "b"), np.ones((2, 3)))
    with pytest.raises(ValueError, match="distinct"):
        TaskMatrix(("a", "a"), np.ones((2, 2)))


def test_ordinal_and_columns_of_one_label_have_the_name_of_their_task():
    heads = {"g": Ordinal(4), "m": MultiLabel(1)}
    assert label_association({"g": A, "m": A > 1}, heads).names == ("g", "m")
