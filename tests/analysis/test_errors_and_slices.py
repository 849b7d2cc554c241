"""Worst errors and scores by slice against the model's own losses and metrics."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.analysis import scores_by_slice, worst_errors
from mtlkeras.analysis.slices import _parts
from mtlkeras.heads import Classification, CRFTagging, Regression, Segmentation
from tests.support import EAGERLY, all_heads, examples, tiny_model

pytestmark = pytest.mark.eager
X, Y = examples(30, missing=0.3)


def loss_of_one(model, task, i):
    """The task's loss of a single example, by `evaluate`."""
    logs = model.evaluate(X[i : i + 1], {task: Y[task][i : i + 1]}, verbose=0, return_dict=True)
    return logs[f"{task}_loss"]


@pytest.mark.parametrize("task", list(all_heads()))
def test_the_worst_are_those_of_the_largest_loss(task):
    model = tiny_model({task: all_heads()[task]}, run_eagerly=EAGERLY)
    found = worst_errors(model, X, {task: Y[task]}, task, n=4)
    missing = Y[task] < 0 if Y[task].dtype.kind == "i" else np.isnan(Y[task])
    known = np.flatnonzero(~(missing.all(axis=1) if missing.ndim > 1 else missing))
    everything = worst_errors(model, X, {task: Y[task]}, task, n=99)
    assert sorted(everything.indices) == known.tolist()
    np.testing.assert_array_equal(everything.indices[:4], found.indices)
    assert (np.diff(everything.losses) <= 0).all()
    for i, loss in list(zip(found.indices, found.losses, strict=True))[:1]:
        assert loss == pytest.approx(loss_of_one(model, task, i), rel=1e-4)
    np.testing.assert_array_equal(found.inputs, X[found.indices])


def test_labels_and_answers_are_those_that_a_person_wants():
    model = tiny_model(compiled=False)
    said = model.predict_labels(X, verbose=0)
    kinds = worst_errors(model, X, Y, "kind", n=3).frame()
    assert kinds["label"] == [("ant", "bee", "cat")[Y["kind"][i]] for i in kinds["example"]]
    assert kinds["answer"] == [said["kind"][i] for i in kinds["example"]]
    sizes = worst_errors(model, X, Y, "size", n=1)
    assert sizes.labels[0] == pytest.approx(tuple(Y["size"][sizes.indices[0]]), nan_ok=True)
    marks = worst_errors(model, X, Y, "marks", n=2)
    assert marks.answers == tuple(said["marks"][i] for i in marks.indices)


@pytest.mark.slow_on_jax
def test_tags_with_other_padding_than_the_model_gives():
    trunk = mtlkeras.trunks.LSTM(units=4, depth=1, embedding_units=4, vocabulary_size=9)
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, {"t": CRFTagging(("x", "y"))})
    tokens, tags = np.array([[3, 4, 0], [2, 1, 2]]), np.array([[0, 1, -1, -1, -1], [1, 1, 0, -1, -1]])
    found = worst_errors(model, tokens, {"t": tags}, "t")
    assert set(found.labels) == {("x", "y"), ("y", "y", "x")}
    assert [len(answer) for answer in found.answers] == [len(label) for label in found.labels]


def test_pixels():
    model = tiny_model({"s": Segmentation(2, taps=("conv",))}, compiled=False)
    y = {"s": np.zeros((30, 6, 6), int)}
    y["s"][4] = -1
    found = worst_errors(model, X, y, "s", n=30)
    outputs = model.predict(X, verbose=0)["s"]
    expected = -np.log(outputs[..., 0]).mean(axis=(1, 2))
    np.testing.assert_allclose(found.losses, expected[found.indices], rtol=1e-4)
    assert len(found.losses) == 29 and 4 not in found.indices


def test_pictures(tmp_path):
    model = tiny_model(compiled=False)
    figure = worst_errors(model, X, Y, "kind", n=6).plot(tmp_path / "worst.png")
    assert len([axis for axis in figure.axes if axis.images]) == 6
    assert "label as answer" in figure.get_suptitle()
    flat = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=4), {"size": Regression(2)})
    (axis,) = worst_errors(flat, X[:, :4, 0, 0], {"size": Y["size"]}, "size", n=2).plot().axes
    assert axis.get_xlabel() == "loss" and len(axis.patches) == 2


def model_of_columns():
    inputs = {"a": (2,), "length": (1,)}
    heads = {"k": Classification(2), "k_two": Regression(metrics=())}
    model = mtlkeras.build_model(inputs, mtlkeras.trunks.MLP(depth=1, width=4), heads)
    model.compile("sgd", run_eagerly=EAGERLY)
    rng = np.random.default_rng(1)
    x = {"a": rng.normal(size=(40, 2)), "length": np.arange(40.0)[:, None]}
    y = {"k": rng.integers(0, 2, 40), "k_two": rng.normal(size=40)}
    return model, x, y


def test_each_slice_is_evaluated_by_itself():
    model, x, y = model_of_columns()
    sources = np.array(["web", "book"])[np.arange(40) % 3 // 2]
    y["k"][sources == "web"] = -1
    found = scores_by_slice(model, x, y, by=sources)
    assert found.slices == ("all", "book", "web") and found.examples == (40, 13, 27)
    for i, part in enumerate((sources != "", sources == "book", sources == "web")):
        own = {task: values[part] for task, values in y.items()}
        logs = model.evaluate({n: v[part] for n, v in x.items()}, own, verbose=0, return_dict=True)
        for name, value in logs.items():
            expected = np.nan if i == 2 and name in ("k_loss", "k_accuracy") else value
            assert found.scores[name][i] == pytest.approx(expected, nan_ok=True), name
    assert list(found.frame())[:2] == ["slice", "examples"]
    figure = found.plot()
    assert figure.axes[0].get_ylabel() == "slice (examples)"
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["book (13)", "web (27)"]


def test_the_values_of_an_input_are_the_parts():
    model, x, y = model_of_columns()
    found = scores_by_slice(model, x, {"k_two": y["k_two"]}, by="length", bins=2)
    assert set(found.scores) == {"loss", "k_two_loss"}
    assert found.slices == ("all", "0 to 19.5", "19.5 to 39") and found.examples == (40, 20, 20)


def test_numbers_are_cut_into_parts_of_equal_size():
    def sizes(values, bins=4):
        return {name: int(part.sum()) for name, part in _parts(np.asarray(values), bins).items()}

    assert list(sizes(np.arange(40.0)).values()) == [10] * 4
    with_gap = np.where(np.arange(40) < 3, np.nan, np.arange(40.0))
    assert sizes(with_gap, 2) == {"3 to 21": 19, "21 to 39": 18, "nan": 3}
    assert sizes(np.arange(40) % 3) == {"0": 14, "1": 13, "2": 13}
    assert sizes(np.arange(40) < 9) == {"False": 31, "True": 9}
    assert sizes([b"a", b"b", b"a"]) == sizes(["a", "b", "a"]) == {"a": 2, "b": 1}


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (lambda m: worst_errors(m, X, Y, "kinds"), "Unknown task 'kinds' .*Did you mean 'kind'"),
        (lambda m: worst_errors(m, X, {"size": Y["size"]}, "kind"), "no labels of task 'kind'"),
        (lambda m: worst_errors(m, X, {"kind": [-1] * 30}, "kind"), "no example has a label of task 'kind'"),
        (lambda m: worst_errors(m, X[:4], Y, "kind"), "30 labels for 4 examples"),
        (lambda m: worst_errors(m, X, Y, "kind", n=0), "n must be a whole number of at least 1"),
        (lambda m: worst_errors(m, (row for row in X), Y, "kind"), "expected arrays of examples"),
        (
            lambda m: scores_by_slice(tiny_model(), X, Y, by=["a"] * 4),
            r"a value for each of 30 examples; .*\(4,\)",
        ),
        (lambda m: scores_by_slice(tiny_model(), {"x": X}, Y, by="lenght"), "Unknown input 'lenght' in by="),
        (
            lambda m: scores_by_slice(tiny_model(), X, {"kind": [0]}, by=["a"] * 30),
            "1 labels for 30 examples",
        ),
        (lambda m: scores_by_slice(tiny_model(compiled=False), X, Y, by=["a"] * 30), "is not compiled"),
    ],
)
def test_bad_arguments_are_refused(case, said):
    with pytest.raises(ValueError, match=said):
        case(tiny_model(compiled=False))


@pytest.mark.tensorflow
def test_data_sets_are_refused():
    with pytest.raises(
        ValueError, match="expected arrays of examples, which can be picked out; received _Batch"
    ):
        worst_errors(tiny_model(), dataset(), Y, "kind")
