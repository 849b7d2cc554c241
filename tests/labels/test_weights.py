"""Sample and class weights: by example and by label, through any way in, against NumPy."""

import keras
import numpy as np
import pytest

from tests.labels import toys
from tests.labels.test_every_type_and_way import Batches, dataset, generated
from tests.support import EAGERLY

ROWS = 6
TASKS = ("kind", "size", "marks", "grade", "tags", "crf")


def labels(missing=False):
    return {task: value for task, value in toys.labels(missing=missing).items() if task in TASKS}


@pytest.fixture(scope="module")
def made():
    heads = {task: toys.heads()[task] for task in TASKS}
    model = toys.model(heads, run_eagerly=EAGERLY)
    x = toys.inputs()
    return model, x, model.predict(x, verbose=0)


def drawn(shape, zero_or_one=False):
    rng = np.random.default_rng(4)
    weights = rng.random(shape) * 2
    weights[rng.random(shape) < 0.3] = 0
    return (weights > 0).astype("float32") if zero_or_one else weights.astype("float32")


def weights(by_label: bool) -> dict:
    y = labels()
    if not by_label:
        return {task: drawn(ROWS) for task in y}
    alone = {"kind", "grade"}
    return {t: drawn(v.shape, t == "crf") for t, v in y.items() if t not in alone}


def expected(model, outputs, y, w):
    """A token of a chain that weighs nothing counts as one whose tag is not known."""
    y = dict(y)
    if np.ndim(w["crf"]) == 2:
        y["crf"] = np.where(w["crf"] == 0, np.nan, y["crf"])
        w = {task: weight for task, weight in w.items() if task != "crf"}
    return toys.expected_losses(model, outputs, y, w)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("by_label", [pytest.param(False, marks=pytest.mark.slow), True])
def test_weights_through_any_way(made, by_label):
    model, x, outputs = made
    y, w = labels(missing=True), weights(by_label)
    given = {task: np.where(np.isnan(v), -1, v).astype("int32") for task, v in y.items()}
    ways = {
        "arrays": lambda: model.evaluate(
            x, given, sample_weight=w, batch_size=3, verbose=0, return_dict=True
        ),
        "test_on_batch": lambda: model.test_on_batch(x, given, w, return_dict=True),
        "train_on_batch": lambda: model.train_on_batch(x, given, w, return_dict=True),
    }
    full = {task: w.get(task, np.ones(ROWS, "float32")) for task in y}
    ways["py_dataset"] = lambda: model.evaluate(Batches(x, given, full), verbose=0, return_dict=True)
    ways["generator"] = lambda: model.evaluate(
        generated(x, given, full), steps=2, verbose=0, return_dict=True
    )
    if keras.backend.backend() == "tensorflow":
        ways["dataset"] = lambda: model.evaluate(dataset(x, given, w), verbose=0, return_dict=True)
    right = expected(model, outputs, y, w)
    for way, call in ways.items():
        logs = call()
        for task, value in right.items():
            np.testing.assert_allclose(
                logs[f"{task}_loss"], value, rtol=3e-5, atol=1e-7, err_msg=f"{way} {task}"
            )


def test_metrics_take_weights_by_label(made):
    model, x, outputs = made
    y, w = labels(missing=True), weights(True)
    given = {task: np.where(np.isnan(v), -1, v).astype("int32") for task, v in y.items()}
    logs = model.test_on_batch(x, given, w, return_dict=True)
    right = ((outputs["marks"] > 0.5) == y["marks"])[~np.isnan(y["marks"])]
    scale = w["marks"][~np.isnan(y["marks"])]
    np.testing.assert_allclose(logs["marks_accuracy"], (right * scale).sum() / scale.sum(), rtol=1e-5)
    right = (outputs["tags"].argmax(-1) == y["tags"])[~np.isnan(y["tags"])]
    scale = w["tags"][~np.isnan(y["tags"])]
    np.testing.assert_allclose(logs["tags_accuracy"], (right * scale).sum() / scale.sum(), rtol=1e-5)


def test_bad_weights_are_told_whatever_the_way(made):
    model, x, _ = made
    y = {
        "kind": np.zeros(ROWS, "int32"),
        "tags": np.zeros((ROWS, 3), "int32"),
        "crf": np.zeros((ROWS, 3), "int32"),
    }
    ones = np.ones(ROWS, "float32")
    bad = {
        "not a number": ({"kind": np.where(np.arange(ROWS) == 2, np.nan, ones)}, "finite and not negative"),
        "infinite": ({"kind": ones * np.inf}, "finite and not negative"),
        "negative": ({"kind": -ones}, "finite and not negative"),
        "by class": (
            {"kind": np.ones((ROWS, 3), "float32")},
            r"one weight an example, shape \(.*received shape",
        ),
        "by another time": ({"tags": np.ones((ROWS, 2), "float32")}, r"\(one a label\) .*received shape"),
    }
    ways = {
        "arrays": lambda w: model.evaluate(x, y, sample_weight=w, verbose=0),
        "py_dataset": lambda w: model.evaluate(Batches(x, y, w), verbose=0),
        "generator": lambda w: model.evaluate(generated(x, y, w), steps=2, verbose=0),
        "test_on_batch": lambda w: model.test_on_batch(x, y, w),
        "train_on_batch": lambda w: model.train_on_batch(x, y, w),
    }
    if keras.backend.backend() == "tensorflow":
        ways["dataset"] = lambda w: model.evaluate(dataset(x, y, w), verbose=0)
    for way, call in ways.items():
        for title, (given, told) in bad.items():
            with pytest.raises(ValueError, match=f"sample_weight of task '.*{told}"):
                call(given)
                pytest.fail(f"{way}: nothing was said of {title}")
    with pytest.raises(
        ValueError, match="sample_weight of task 'crf'.* CRFTagging scores a sequence as a whole"
    ):
        model.evaluate(x, y, sample_weight={"crf": np.full((ROWS, 3), 0.5)}, verbose=0)
    with pytest.raises(ValueError, match="expected 6 weights, received 5"):
        model.evaluate(x, y, sample_weight={"kind": np.ones(5)}, verbose=0)
    with pytest.raises(ValueError, match="Did you mean 'kind'"):
        model.evaluate(x, y, sample_weight={"kin": ones}, verbose=0)


@pytest.mark.slow_on_jax
def test_class_weights_of_a_batch_and_of_a_fit(made):
    model, x, outputs = made
    y = toys.labels()
    given = {task: y[task].astype("int32") for task in ("kind", "grade", "tags")}
    by_class = {"kind": {"ant": 3.0, 1: 0.5}, "tags": {0: np.float32(0.0), np.int64(2): 4.0}}
    vectors = {"kind": np.array([3.0, 0.5, 1.0]), "tags": np.array([0.0, 1.0, 4.0]), "grade": np.ones(4)}
    as_vectors = {task: values.tolist() if task == "kind" else values for task, values in vectors.items()}
    losses = {}
    for task, scale in vectors.items():
        index = given[task]
        values = -np.log(np.take_along_axis(outputs[task], index[..., None], -1)[..., 0])
        if task == "grade":
            losses[task] = toys.expected_losses(model, outputs, {"grade": y["grade"]})["grade"]
        else:  # A class of weight 0 still counts in the mean.
            losses[task] = (values * scale[index]).mean()
    plain = toys.expected_losses(model, outputs, {task: y[task] for task in given})
    for _ in range(2):
        model.reset_metrics()
        weighted = model.train_on_batch(x, given, class_weight=by_class, return_dict=True)
        fitted = model.fit(x, given, class_weight=by_class, batch_size=3, verbose=0).history
        model.reset_metrics()  # Keras before 3.15 goes on with those of the fit.
        after = model.train_on_batch(x, given, return_dict=True)
        by_class = as_vectors  # A weight for each class is the same.
        for task, value in losses.items():
            np.testing.assert_allclose(weighted[f"{task}_loss"], value, rtol=1e-5, err_msg=task)
            np.testing.assert_allclose(fitted[f"{task}_loss"][0], value, rtol=1e-5, err_msg=task)
            np.testing.assert_allclose(after[f"{task}_loss"], plain[task], rtol=1e-5, err_msg=task)
    with pytest.raises(ValueError, match="class_weight of task 'kind'.* 3 weights"):
        model.fit(x, given, class_weight={"kind": [1.0, 2.0]}, verbose=0)
    with pytest.raises(ValueError, match="class_weight of task 'kind'"):
        model.train_on_batch(x, given, class_weight={"kind": {"bea": 2.0}})
